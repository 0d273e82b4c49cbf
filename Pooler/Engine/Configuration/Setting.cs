using System.Diagnostics.CodeAnalysis;

namespace Pooler.Engine.Configuration;

/// <summary>
/// One setting of a scope, declared once; everything that reads, checks, shows or documents it asks here.
/// </summary>
/// <typeparam name="TTarget">The typed settings of the scope.</typeparam>
internal sealed class Setting<TTarget>
{
    private readonly Func<TTarget, string?> _show;
    private readonly Func<TTarget, string?> _showInConsole;
    private readonly Reader _read;

    private Setting(string name, string kind, string allowed, Func<TTarget, string?> show, Func<TTarget, string?> showInConsole, Reader read)
    {
        Name = name;
        Kind = kind;
        Allowed = allowed;
        _show = show;
        _showInConsole = showInConsole;
        _read = read;
    }

    private delegate bool Reader(TTarget target, string text, [MaybeNullWhen(false)] out TTarget changed, [NotNullWhen(false)] out string? error);

    /// <summary>Name in the ini file, SET and SHOW CONFIG.</summary>
    public string Name { get; }

    /// <summary>One word: text, integer, seconds …</summary>
    public string Kind { get; }

    /// <summary>What may be written.</summary>
    public string Allowed { get; }

    /// <summary>See <see cref="SettingKind{T}.TakesEmpty"/>.</summary>
    public bool TakesEmpty { get; private init; }

    /// <summary>One line on what it does.</summary>
    public required string Meaning { get; init; }

    /// <summary>What PgBouncer's does and this build's does not (yet), or how they differ.</summary>
    public string? Note { get; init; }

    /// <summary>Accepted, checked and shown, but without effect in this build.</summary>
    public bool Inert { get; init; }

    /// <summary>Values of an inert setting that this build nevertheless does what they say.</summary>
    public string[] Heeded { get; init; } = [];

    /// <summary>Refuses values whose silent acceptance would be unsafe or untrue: gets the value, returns what is missing.</summary>
    public Func<string, string?>? Unsupported { get; init; }

    /// <summary>False: needs a restart, RELOAD and SET leave it as it is.</summary>
    public bool Reloadable { get; init; } = true;

    /// <summary>The value is never shown nor repeated in a message.</summary>
    public bool Secret { get; init; }

    /// <summary>Beyond PgBouncer's.</summary>
    public bool Own { get; init; }

    /// <summary>
    /// Whether the bare name in capitals is read from the environment, too. Not for names that other programs or the
    /// shell set for their own ends: a stray USER or VERBOSE must never configure a pooler.
    /// </summary>
    public bool PlainEnvironment { get; init; } = true;

    /// <summary>Whether <c>PGBOUNCER_…</c> names it; not where applications use that name for their own address or login.</summary>
    public bool PgBouncerEnvironment { get; init; } = true;

    /// <summary>False when this platform has no such setting: not listed, still accepted.</summary>
    public bool Listed { get; init; } = true;

    /// <summary>False where PgBouncer's SHOW CONFIG has nothing in the column <c>default</c>, although there is a value.</summary>
    public bool HasDefault { get; private init; } = true;

    /// <summary>The scopes that can override a global setting, such as "database, user".</summary>
    public string? Scopes { get; init; }

    /// <summary>Other names of it in the ini file.</summary>
    public string[] Aliases { get; init; } = [];

    /// <summary>Declares a setting.</summary>
    /// <param name="name">Name in the ini file.</param>
    /// <param name="kind">How it is written.</param>
    /// <param name="get">Reads it from the typed settings.</param>
    /// <param name="set">Gives typed settings with it changed.</param>
    /// <param name="meaning">See <see cref="Meaning"/>.</param>
    /// <param name="note">See <see cref="Note"/>.</param>
    /// <param name="inert">See <see cref="Inert"/>.</param>
    /// <param name="reloadable">See <see cref="Reloadable"/>.</param>
    /// <param name="secret">See <see cref="Secret"/>.</param>
    /// <param name="own">See <see cref="Own"/>; own names are not read bare from the environment.</param>
    /// <param name="plainEnvironment">See <see cref="PlainEnvironment"/>.</param>
    /// <param name="pgBouncerEnvironment">See <see cref="PgBouncerEnvironment"/>.</param>
    /// <param name="listed">See <see cref="Listed"/>.</param>
    /// <param name="scopes">See <see cref="Scopes"/>.</param>
    /// <param name="aliases">See <see cref="Aliases"/>.</param>
    /// <param name="unsupported">See <see cref="Unsupported"/>.</param>
    /// <param name="heeded">See <see cref="Heeded"/>.</param>
    /// <param name="hasDefault">See <see cref="HasDefault"/>.</param>
    public static Setting<TTarget> Of<T>(
        string name,
        SettingKind<T> kind,
        Func<TTarget, T> get,
        Func<TTarget, T, TTarget> set,
        string meaning,
        string? note = null,
        bool inert = false,
        bool reloadable = true,
        bool secret = false,
        bool own = false,
        bool plainEnvironment = true,
        bool pgBouncerEnvironment = true,
        bool listed = true,
        string? scopes = null,
        string[]? aliases = null,
        Func<string, string?>? unsupported = null,
        string[]? heeded = null,
        bool hasDefault = true)
    {
        bool Read(TTarget target, string text, [MaybeNullWhen(false)] out TTarget changed, [NotNullWhen(false)] out string? error)
        {
            if (!kind.TryRead(text, out var value, out error))
            {
                changed = default;
                return false;
            }

            changed = set(target, value);
            return true;
        }

        return new Setting<TTarget>(name, kind.Name, kind.Allowed, target => kind.Show(get(target)), target => kind.ShowInConsole(get(target)), Read)
        {
            TakesEmpty = kind.TakesEmpty,
            Meaning = meaning,
            Note = note,
            Inert = inert,
            Reloadable = reloadable,
            Secret = secret,
            Own = own,
            PlainEnvironment = plainEnvironment && !own,
            PgBouncerEnvironment = pgBouncerEnvironment,
            Listed = listed,
            Scopes = scopes,
            Aliases = aliases ?? [],
            Unsupported = unsupported,
            Heeded = heeded ?? [],
            HasDefault = hasDefault,
        };
    }

    /// <summary>The value as text; null when unset. Secrets come in clear: see <see cref="ShowMasked"/>.</summary>
    public string? Show(TTarget target) => _show(target);

    /// <summary>The value as SHOW CONFIG has it.</summary>
    public string? ShowMasked(TTarget target) => Mask(_showInConsole(target));

    /// <summary>The value as others may see it.</summary>
    public string? Mask(string? value) => Secret && !string.IsNullOrEmpty(value) ? "******" : value;

    /// <summary>Whether the value asks for something that this build does not do.</summary>
    public bool IsUnheeded(TTarget target, TTarget defaults) =>
        Inert && _show(target) is { } value && value != _show(defaults) && !Heeded.Contains(value);

    /// <summary>Gives settings with this one changed, or a message that says what was wrong and what is allowed.</summary>
    public bool TrySet(TTarget target, string text, [MaybeNullWhen(false)] out TTarget changed, [NotNullWhen(false)] out string? error)
    {
        if (Unsupported?.Invoke(text) is { } missing)
        {
            changed = default;
            error = $"{Name} = {Quote(text)}: this build does not support {missing} yet";
            return false;
        }

        if (_read(target, text, out changed, out var clause))
        {
            error = null;
            return true;
        }

        error = $"{Name} = {Quote(text)}: {clause}";
        return false;
    }

    private string Quote(string text) => Secret ? "(not shown)" : $"\"{text}\"";
}
