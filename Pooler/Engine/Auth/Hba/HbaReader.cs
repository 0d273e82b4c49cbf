using Pooler.Engine.Auth.Ldap;
using Pooler.Engine.Configuration;

namespace Pooler.Engine.Auth.Hba;

/// <summary>
/// Reads HBA files: PostgreSQL documentation, "The pg_hba.conf File", and what PgBouncer does differently. As in
/// PgBouncer a line with a mistake is reported and left out.
/// </summary>
internal sealed class HbaReader
{
    // As PostgreSQL's (CONF_FILE_MAX_DEPTH): more is a file that includes itself.
    private const int MaxDepth = 10;

    private readonly IdentMaps _maps;
    private readonly List<ConfigurationIssue> _issues;
    private readonly List<HbaRule> _rules = [];

    private HbaReader(IdentMaps maps, List<ConfigurationIssue> issues) => (_maps, _issues) = (maps, issues);

    /// <summary>Reads a file with all that it includes. That it can't be read is one of the issues.</summary>
    public static IReadOnlyList<HbaRule> Read(string path, IdentMaps maps, List<ConfigurationIssue> issues)
    {
        var reader = new HbaReader(maps, issues);
        if (HbaText.Read(path, out var error) is { } text) reader.ReadText(text, path, depth: 0);
        else issues.Add(new ConfigurationIssue("auth_hba_file", $"could not open hba config file {path}: {error}; nobody can log in"));
        return reader._rules;
    }

    /// <summary>Reads text.</summary>
    public static IReadOnlyList<HbaRule> Parse(string text, string path, IdentMaps maps, List<ConfigurationIssue> issues)
    {
        var reader = new HbaReader(maps, issues);
        reader.ReadText(text, path, depth: 0);
        return reader._rules;
    }

    private void ReadText(string text, string path, int depth)
    {
        foreach (var line in HbaTokens.Lines(text))
        {
            try
            {
                if (line.Error is { } error) throw new HbaException(error);
                if (!TryInclude(line, path, depth)) _rules.Add(ReadRule(line, path));
            }
            catch (HbaException e)
            {
                _issues.Add(new ConfigurationIssue($"{path}:{line.Number}", $"could not parse hba config line {line.Number}: {e.Message}; it is left out"));
            }
        }
    }

    private bool TryInclude(HbaLine line, string path, int depth)
    {
        var word = line.Fields[0].First;
        var isOptional = word.Is("include_if_exists");
        var isDirectory = word.Is("include_dir");
        if (!isOptional && !isDirectory && !word.Is("include")) return false;
        if (line.Fields.Count != 2 || !line.Fields[1].IsSingle) throw new HbaException($"{word.Text} needs one name");
        if (depth >= MaxDepth) throw new HbaException("files are included too deeply");
        var name = HbaText.Resolve(path, line.Fields[1].First.Text);
        foreach (var file in isDirectory ? HbaText.FilesOf(name) : [name])
        {
            if (HbaText.Read(file, out var error) is { } text) ReadText(text, file, depth + 1);
            else if (!isOptional || File.Exists(file)) throw new HbaException($"could not open {file}: {error}");
        }

        return true;
    }

    private HbaRule ReadRule(HbaLine line, string path)
    {
        var fields = line.Fields;
        var type = ReadType(fields[0]);
        var next = 1;
        var databases = ReadNames(Next("database"), isDatabase: true, path);
        var users = ReadNames(Next("user"), isDatabase: false, path);
        var address = HbaAddress.Everything;
        if (type != HbaConnectionType.Local)
        {
            address = ReadAddress(Single(Next("address"), "addresses"), () => Single(Next("mask"), "masks"));
            if (address.HasBitsOutsideMask)
                _issues.Add(new ConfigurationIssue($"{path}:{line.Number}", "address does not match mask: no client has such an address"));
        }

        var method = ReadMethod(Single(Next("method"), "methods"), type);
        var options = new List<KeyValuePair<string, string>>();
        foreach (var field in fields.Skip(next))
        {
            // LDAP's options may be joined by commas; the line's own (clientcert …) can stand among them.
            if (method == AuthType.Ldap) foreach (var token in field.Tokens) ReadOption(token, method, options);
            else ReadOption(Single(field, "options"), method, options);
        }

        var optionsText = line.Text[fields[next - 1].End..].Trim();
        // The line stays: whoever it is about must not come under a later one.
        if (method == AuthType.Ldap && !LdapOptions.TryParse(optionsText, out _, out var wrong))
            _issues.Add(new ConfigurationIssue($"{path}:{line.Number}", $"{wrong}: nobody can log in by this line"));

        return new HbaRule
        {
            File = path,
            Line = line.Number,
            ConnectionType = type,
            Databases = databases,
            Users = users,
            Address = address,
            Method = method,
            Options = options,
            OptionsText = optionsText,
        };

        HbaField Next(string what) => next < fields.Count ? fields[next++] : throw new HbaException($"it ends before the {what}");
    }

    private static HbaToken Single(HbaField field, string what) =>
        field.IsSingle ? field.First : throw new HbaException($"several {what} in one column");

    private static HbaConnectionType ReadType(HbaField field) => field switch
    {
        { IsSingle: true } when field.First.Is("local") => HbaConnectionType.Local,
        { IsSingle: true } when field.First.Is("host") => HbaConnectionType.Host,
        { IsSingle: true } when field.First.Is("hostssl") => HbaConnectionType.HostSsl,
        { IsSingle: true } when field.First.Is("hostnossl") => HbaConnectionType.HostNoSsl,
        { IsSingle: true } when field.First.Is("hostgssenc") => HbaConnectionType.HostGssEnc,
        { IsSingle: true } when field.First.Is("hostnogssenc") => HbaConnectionType.HostNoGssEnc,
        _ => throw new HbaException($"unknown type {field.First}"),
    };

    private static HbaNames ReadNames(HbaField field, bool isDatabase, string path)
    {
        var names = new HbaNames();
        foreach (var token in field.Tokens) AddName(names, token, isDatabase, path, depth: 0);
        return names;
    }

    private static void AddName(HbaNames names, HbaToken token, bool isDatabase, string path, int depth)
    {
        switch (token)
        {
            case { IsQuoted: false, Text: "all" }:
                names.All = true;
                break;
            case { IsQuoted: false, Text: "sameuser" }:
                names.SameUser = true;
                break;
            case { IsQuoted: false, Text: "samerole" or "samegroup" } when isDatabase:
                names.SameRole = true;
                break;
            case { IsQuoted: false, Text: "replication" } when isDatabase:
                names.Replication = true;
                break;
            case { IsQuoted: false, Text: ['@', _, ..] }:
                AddFile(names, HbaText.Resolve(path, token.Text[1..]), isDatabase, depth + 1);
                break;
            case { IsQuoted: false, Text: ['+', ..] }:
                if (isDatabase || token.Text.Length == 1) throw new HbaException($"{token}: a role whose members are meant can stand in the user column only");
                names.AddRole(token.Text[1..]);
                break;
            case { Text: ['/', ..] }:
                names.AddPattern(HbaPattern.Parse(token));
                break;
            default:
                names.AddName(token.Text);
                break;
        }
    }

    private static void AddFile(HbaNames names, string path, bool isDatabase, int depth)
    {
        if (depth > MaxDepth) throw new HbaException("files are included too deeply");
        var text = HbaText.Read(path, out var error) ?? throw new HbaException($"could not open {path}: {error}");
        var words = HbaTokens.Words(text) ?? throw new HbaException($"{path}: a quote is not closed");
        foreach (var word in words) AddName(names, word, isDatabase, path, depth);
    }

    private static HbaAddress ReadAddress(HbaToken token, Func<HbaToken> mask)
    {
        if (token.Is("all")) return HbaAddress.Everything;
        if (token.Is("samehost")) return HbaAddress.SameHost;
        if (token.Is("samenet")) return HbaAddress.SameNet;
        var text = token.Text.AsSpan();
        var slash = text.IndexOf('/');
        if (slash >= 0)
        {
            if (!HbaAddress.TryParse(text[..slash], out var network)) throw new HbaException($"failed to parse address {token}");
            return HbaAddress.OfNetwork(network, text[(slash + 1)..]) ?? throw new HbaException($"invalid mask in {token}");
        }

        if (HbaAddress.TryParse(text, out var address))
        {
            var word = mask();
            if (!HbaAddress.TryParse(word.Text, out var bits)) throw new HbaException($"failed to parse mask {word}: an address needs a mask or /bits");
            return HbaAddress.OfNetwork(address, bits) ?? throw new HbaException($"failed to parse mask {word}: it is not of the address's family");
        }

        if (text.IsEmpty || text is "." || text.IndexOfAnyExcept("0123456789.") < 0 || text.Contains(':') || text.IndexOfAny(" \t") >= 0)
            throw new HbaException($"failed to parse address {token}");
        return HbaAddress.OfHostName(token.Text);
    }

    private static AuthType ReadMethod(HbaToken token, HbaConnectionType type) => token switch
    {
        { IsQuoted: false, Text: "trust" } => AuthType.Trust,
        { IsQuoted: false, Text: "reject" } => AuthType.Reject,
        { IsQuoted: false, Text: "md5" } => AuthType.Md5,
        { IsQuoted: false, Text: "password" } => AuthType.Plain,
        { IsQuoted: false, Text: "scram-sha-256" } => AuthType.ScramSha256,
        { IsQuoted: false, Text: "peer" } => AuthType.Peer,
        // On a Unix socket PostgreSQL takes one for the other.
        { IsQuoted: false, Text: "ident" } when type == HbaConnectionType.Local => AuthType.Peer,
        { IsQuoted: false, Text: "cert" } => AuthType.Cert,
        { IsQuoted: false, Text: "ldap" } => AuthType.Ldap,
        { IsQuoted: false, Text: "pam" } => AuthType.Pam,
        _ => throw new HbaException($"unsupported method {token}"),
    };

    private void ReadOption(HbaToken token, AuthType method, List<KeyValuePair<string, string>> options)
    {
        var equals = token.Text.IndexOf('=');
        if (equals <= 0)
        {
            if (method == AuthType.Ldap) return;
            throw new HbaException($"unsupported parameters: {token} is not in name=value format");
        }

        var (name, value) = (token.Text[..equals], token.Text[(equals + 1)..]);
        switch (name)
        {
            case "map":
                if (!_maps.Contains(value)) throw new HbaException($"Ident map {value} is not found in ident config file");
                break;
            case "clientcert":
                if (value is not ("verify-ca" or "verify-full")) throw new HbaException($"unsupported parameters: clientcert={value}, where verify-ca and verify-full are known");
                if (method == AuthType.Cert && value != "verify-full") throw new HbaException("method cert checks names always: clientcert can only be verify-full");
                break;
            case "clientname":
                if (value is not ("CN" or "DN")) throw new HbaException($"unsupported parameters: clientname={value}, where CN and DN are known");
                break;
            case "pamservice" or "pam_use_hostname" when method == AuthType.Pam:
                break;
            default:
                if (method != AuthType.Ldap) throw new HbaException($"unsupported parameters: {name}");
                break;
        }

        options.Add(new(name, value));
    }
}

/// <summary>What is wrong with a line.</summary>
internal sealed class HbaException(string message) : Exception(message);
