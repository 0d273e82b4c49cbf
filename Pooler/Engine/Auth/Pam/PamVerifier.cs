using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Pooler.Engine.Auth.Pam;

/// <summary>
/// Checks a password with PAM (pam(3)): authentication, then whether the account may be used. The modules of the service
/// run in this process, with its rights: pam_unix reads /etc/shadow for root only.
/// </summary>
/// <param name="service">Name of the file in /etc/pam.d.</param>
/// <param name="useHostName">Tell the modules the client's host name instead of its address.</param>
internal sealed unsafe class PamVerifier(string service, bool useHostName = false) : IPasswordVerifier
{
    /// <summary>The service's name unless an HBA line says otherwise; PgBouncer's.</summary>
    public const string DefaultService = "pgbouncer";

    // _pam_types.h
    private const int Success = 0;
    private const int ConversationError = 19;
    private const int RemoteHostItem = 4;
    private const int Silent = 0x8000;
    private const int PromptEchoOff = 1;
    private const int ErrorMessage = 3;

    public string Name => "PAM";

    public string? Verify(string userName, byte[] password, EndPoint? client)
    {
        if (Library.Shared is not { } pam) return "libpam is not installed";
        var conversation = new Conversation(password);
        var handle = GCHandle.Alloc(conversation);
        try
        {
            var objection = Verify(pam, userName, NameOf(client), GCHandle.ToIntPtr(handle));
            return objection is null || conversation.Complaint is null ? objection : $"{objection} (\"{conversation.Complaint}\")";
        }
        finally
        {
            handle.Free();
        }
    }

    private string? Verify(Library pam, string userName, string host, nint conversation)
    {
        var callback = new PamConversation { Function = &Converse, Data = conversation };
        nint session;
        int result;
        fixed (byte* serviceName = Terminated(service), user = Terminated(userName), remote = Terminated(host))
        {
            result = pam.Start(serviceName, user, &callback, &session);
            if (result != Success) return $"pam_start() failed: {pam.Describe(0, result)}";
            result = pam.SetItem(session, RemoteHostItem, remote);
        }
        var step = "pam_set_item()";
        if (result == Success)
        {
            step = "pam_authenticate()";
            result = pam.Authenticate(session, Silent);
        }
        if (result == Success)
        {
            step = "pam_acct_mgmt()";
            result = pam.CheckAccount(session, Silent);
        }
        var objection = result == Success ? null : $"{step} failed: {pam.Describe(session, result)}";
        pam.End(session, result);
        return objection;
    }

    private string NameOf(EndPoint? client)
    {
        if (client is not IPEndPoint { Address: var address }) return "unix";
        if (address.IsIPv4MappedToIPv6) address = address.MapToIPv4();
        if (!useHostName) return address.ToString();
        try
        {
            return Dns.GetHostEntry(address).HostName;
        }
        catch (SocketException)
        {
            return address.ToString();
        }
    }

    private static byte[] Terminated(string text) => Encoding.UTF8.GetBytes(text + '\0');

    /// <summary>Answers what the modules ask: the password wherever they ask for one. They free the answers with free(3).</summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Converse(int count, PamMessage** messages, PamResponse** responses, nint data)
    {
        if (count < 1 || GCHandle.FromIntPtr(data).Target is not Conversation conversation) return ConversationError;
        // malloc(3) and calloc(3), by contract of NativeMemory.
        var answers = (PamResponse*)NativeMemory.AllocZeroed((nuint)count, (nuint)sizeof(PamResponse));
        for (var i = 0; i < count; i++)
        {
            if (messages[i]->Style == PromptEchoOff) answers[i].Text = conversation.CopyPassword();
            else if (messages[i]->Style == ErrorMessage) conversation.Complaint = Marshal.PtrToStringUTF8((nint)messages[i]->Text);
        }
        *responses = answers;
        return Success;
    }

    private sealed class Conversation(byte[] password)
    {
        /// <summary>What a module wanted the user to read.</summary>
        public string? Complaint { get; set; }

        public byte* CopyPassword()
        {
            var copy = (byte*)NativeMemory.Alloc((nuint)password.Length + 1);
            password.CopyTo(new Span<byte>(copy, password.Length));
            copy[password.Length] = 0;
            return copy;
        }
    }

    /// <summary>struct pam_message</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct PamMessage
    {
        public int Style;
        public byte* Text;
    }

    /// <summary>struct pam_response</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct PamResponse
    {
        public byte* Text;
        public int Code;
    }

    /// <summary>struct pam_conv</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct PamConversation
    {
        public delegate* unmanaged[Cdecl]<int, PamMessage**, PamResponse**, nint, int> Function;
        public nint Data;
    }

    /// <summary>libpam's functions, looked up when they are first needed: most machines never do.</summary>
    private sealed class Library
    {
        private static readonly string[] Names = OperatingSystem.IsMacOS() ? ["libpam.2.dylib", "libpam.dylib"] : ["libpam.so.0", "libpam.so"];
        private static readonly Lazy<Library?> Loaded = new(Load);

        private readonly nint _library;

        private Library(nint library) => _library = library;

        /// <summary>Null: not on this machine.</summary>
        public static Library? Shared => Loaded.Value;

        public int Start(byte* service, byte* user, PamConversation* conversation, nint* session) =>
            ((delegate* unmanaged[Cdecl]<byte*, byte*, PamConversation*, nint*, int>)Export("pam_start"))(service, user, conversation, session);

        public int SetItem(nint session, int item, byte* value) =>
            ((delegate* unmanaged[Cdecl]<nint, int, byte*, int>)Export("pam_set_item"))(session, item, value);

        public int Authenticate(nint session, int flags) =>
            ((delegate* unmanaged[Cdecl]<nint, int, int>)Export("pam_authenticate"))(session, flags);

        public int CheckAccount(nint session, int flags) =>
            ((delegate* unmanaged[Cdecl]<nint, int, int>)Export("pam_acct_mgmt"))(session, flags);

        public int End(nint session, int status) =>
            ((delegate* unmanaged[Cdecl]<nint, int, int>)Export("pam_end"))(session, status);

        public string Describe(nint session, int code) =>
            Marshal.PtrToStringUTF8(((delegate* unmanaged[Cdecl]<nint, int, nint>)Export("pam_strerror"))(session, code)) ?? $"error {code}";

        private nint Export(string name) => NativeLibrary.GetExport(_library, name);

        private static Library? Load()
        {
            if (OperatingSystem.IsWindows()) return null;
            foreach (var name in Names)
                if (NativeLibrary.TryLoad(name, out var library)) return new Library(library);
            return null;
        }
    }
}
