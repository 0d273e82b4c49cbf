namespace LocalRun.Stacks;

/// <summary>The stack could not be started, or there is none. The message is meant for the person at the terminal.</summary>
internal sealed class StackException(string message) : Exception(message);
