namespace SampleWeb.Data;

/// <summary>Which texts PostgreSQL can store (documentation, chapter 8.3): all of UTF-8 but the zero character.</summary>
internal static class StoredText
{
    public static bool IsStorable(string text)
    {
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '\0')
                return false;
            if (!char.IsSurrogate(text[i]))
                continue;

            // Half a surrogate pair has no UTF-8.
            if (i + 1 == text.Length || !char.IsSurrogatePair(text[i], text[i + 1]))
                return false;
            i++;
        }

        return true;
    }
}
