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
    public IReadOnlyCollection<XElement> GetAllElements()
    {
        using var context = new ShopContext(DatabaseMigrator.Options(dataSource));
        return [.. context.SharedKeys.AsNoTracking().AsEnumerable().Select(key => XElement.Parse(key.Xml))];
    }

    public void StoreElement(XElement element, string friendlyName)
    {
        using var context = new ShopContext(DatabaseMigrator.Options(dataSource));
        context.SharedKeys.Add(new SharedKey { Name = friendlyName, Xml = element.ToString(SaveOptions.DisableFormatting) });
        context.SaveChanges();
    }
}
