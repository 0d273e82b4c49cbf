using Microsoft.Extensions.Logging;

namespace Pooler.Engine.Telemetry;

// Standing still, and handing over to another process.
internal sealed partial class EngineLog
{
    [LoggerMessage(50, LogLevel.Information, "admin disappeared when suspended, doing RESUME", EventName = "admin_disappeared")]
    public partial void AdminDisappeared();

    [LoggerMessage(51, LogLevel.Error, "online restart failed, going on: {Reason}", EventName = "handover_failed")]
    public partial void HandoverFailed(string reason);

    [LoggerMessage(52, LogLevel.Information, "handed over {Clients} clients and {Servers} servers in {Milliseconds} ms", EventName = "handed_over")]
    public partial void HandedOver(int clients, int servers, long milliseconds);

    [LoggerMessage(53, LogLevel.Information, "all clients have been handed over or have left", EventName = "all_handed_over")]
    public partial void AllHandedOver();

    [LoggerMessage(54, LogLevel.Error, "a connection that has been handed over could not be let go of", EventName = "forgetting_failed")]
    public partial void ForgettingFailed(Exception exception);

    [LoggerMessage(55, LogLevel.Information, "took over {Clients} clients and {Servers} servers from process {Process}", EventName = "taken_over")]
    public partial void TakenOver(int process, int clients, int servers);

    [LoggerMessage(56, LogLevel.Error, "a connection of the process before could not be taken over: {Reason}", EventName = "arrival_failed")]
    public partial void ArrivalFailed(string reason);

    [LoggerMessage(57, LogLevel.Information, "process {Process}, which was taken over from, has served its last client", EventName = "predecessor_ended")]
    public partial void PredecessorEnded(int process);

    [LoggerMessage(80, LogLevel.Information, "{Connection} slow query: {Request}", EventName = "slow_query")]
    public partial void SlowQuery(ConnectionName connection, SlowRequestText request);

    [LoggerMessage(81, LogLevel.Information, "{Connection} slow wait: {Request}", EventName = "slow_wait")]
    public partial void SlowWait(ConnectionName connection, SlowRequestText request);

    [LoggerMessage(58, LogLevel.Information, "got pooler socket: {Address}", EventName = "socket_inherited")]
    public partial void SocketInherited(string address);
}
