using LocalRun.Terminal;

return await LocalRun.CommandLine.RunAsync(args, Screen.OnConsole());
