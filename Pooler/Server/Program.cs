using Pooler.Engine.Configuration;

if (args is ["--print-reference"]) Console.Write(SettingsReference.Markdown());
return 0;
