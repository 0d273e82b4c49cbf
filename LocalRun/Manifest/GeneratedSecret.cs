using System.Security.Cryptography;
using System.Text.Json;

namespace LocalRun.Manifest;

/// <summary>The rules by which a parameter's value is made.</summary>
/// <param name="MinLength">Least number of characters.</param>
/// <param name="Lower">Lower-case letters allowed.</param>
/// <param name="Upper">Upper-case letters allowed.</param>
/// <param name="Numeric">Digits allowed.</param>
/// <param name="Special">Other characters allowed.</param>
/// <param name="MinLower">Least number of lower-case letters.</param>
/// <param name="MinUpper">Least number of upper-case letters.</param>
/// <param name="MinNumeric">Least number of digits.</param>
/// <param name="MinSpecial">Least number of other characters.</param>
internal sealed record GeneratedSecret(
    int MinLength,
    bool Lower = true, bool Upper = true, bool Numeric = true, bool Special = true,
    int MinLower = 0, int MinUpper = 0, int MinNumeric = 0, int MinSpecial = 0)
{
    // No l, I, O, 0, 1, which people mix up; only special characters that need no quoting in connection strings.
    private const string LowerCharacters = "abcdefghjkmnpqrstuvwxyz";
    private const string UpperCharacters = "ABCDEFGHJKMNPQRSTUVWXYZ";
    private const string NumericCharacters = "23456789";
    private const string SpecialCharacters = "-_.~+*!()";

    /// <summary>Reads the rules.</summary>
    public static GeneratedSecret Read(JsonElement json, string resource)
    {
        bool Flag(string member) => ManifestResource.Text(json, resource, member) != "false";
        int Number(string member) => ManifestResource.Text(json, resource, member) is not { } text
            ? 0
            : int.TryParse(text, out var number) && number is >= 0 and <= 10_000
                ? number
                : throw new ManifestException($"Resource '{resource}': {member} '{text}' is not a length.");

        var rules = new GeneratedSecret(
            Number("minLength"), Flag("lower"), Flag("upper"), Flag("numeric"), Flag("special"),
            Number("minLower"), Number("minUpper"), Number("minNumeric"), Number("minSpecial"));
        return rules is { Lower: false, Upper: false, Numeric: false, Special: false }
            ? throw new ManifestException($"Resource '{resource}': its generated value may contain no character at all.")
            : rules;
    }

    /// <summary>Makes a value.</summary>
    public string Make()
    {
        (string Characters, bool Allowed, int Least)[] classes =
        [
            (LowerCharacters, Lower, MinLower),
            (UpperCharacters, Upper, MinUpper),
            (NumericCharacters, Numeric, MinNumeric),
            (SpecialCharacters, Special, MinSpecial),
        ];
        var result = classes.Where(c => c.Allowed).SelectMany(c => RandomNumberGenerator.GetItems<char>(c.Characters, c.Least)).ToList();
        var all = string.Concat(classes.Where(c => c.Allowed).Select(c => c.Characters));
        result.AddRange(RandomNumberGenerator.GetItems<char>(all, Math.Max(0, MinLength - result.Count)));

        var characters = result.ToArray();
        RandomNumberGenerator.Shuffle(characters.AsSpan());
        return new string(characters);
    }
}
