using SampleWeb.Hosting;
using ServiceDefaults.Configuration;

try
{
    await WebShop.Create(args).RunAsync();
    return Environment.ExitCode;
}
catch (MissingSettingException error)
{
    Console.Error.WriteLine(error.Message);
    return 1;
}
