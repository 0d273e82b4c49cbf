using SampleWorker;
using ServiceDefaults.Configuration;

try
{
    return ExecutorProcess.IsThis ? await ExecutorProcess.RunAsync(args) : await WorkerProcess.RunAsync(args);
}
catch (MissingSettingException error)
{
    Console.Error.WriteLine(error.Message);
    return 1;
}
