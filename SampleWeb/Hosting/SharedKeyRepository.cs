using System.Xml.Linq;
using Microsoft.AspNetCore.DataProtection.Repositories;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using SampleWeb.Data;

namespace SampleWeb.Hosting;

/// <summary>
/// Keeps the data protection keys in the shop's database, so that a form served by one instance may be posted to another
/// and survives a restart. They lie there unencrypted: who can read this database can forge anti-forgery tokens.
/// </summary>
internal sealed class SharedKeyRepository(NpgsqlDataSource dataSource) : IXmlRepository
{
    private readonly AsyncLocal<ShopContext?> _enlisted = new();

    /// <summary>
    /// Until the result is disposed, keys that this flow of control stores go through the given context, and so into its
    /// transaction. The interface has no other way to say so.
    /// </summary>
    public IDisposable Enlist(ShopContext context)
    {
        _enlisted.Value = context;
        return new Enlistment(this);
    }

    public IReadOnlyCollection<XElement> GetAllElements()
    {
        using var context = NewContext();
        return [.. context.SharedKeys.AsNoTracking().AsEnumerable().Select(key => XElement.Parse(key.Xml))];
    }

    public void StoreElement(XElement element, string friendlyName)
    {
        var key = new SharedKey { Name = friendlyName, Xml = element.ToString(SaveOptions.DisableFormatting) };
        if (_enlisted.Value is { } enlisted)
        {
            Add(enlisted);
            return;
        }

        using var context = NewContext();
        Add(context);

        void Add(ShopContext target)
        {
            target.SharedKeys.Add(key);
            target.SaveChanges();
        }
    }

    private ShopContext NewContext() => new(DatabaseMigrator.Options(dataSource));

    private sealed class Enlistment(SharedKeyRepository repository) : IDisposable
    {
        public void Dispose() => repository._enlisted.Value = null;
    }
}
