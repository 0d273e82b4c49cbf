using Microsoft.EntityFrameworkCore;

namespace SampleWeb.Data;

/// <summary>
/// The shop's tables. Names are snake_case because the worker writes <c>products</c> and <c>price_history</c> with plain
/// SQL: renaming a column here needs a change there.
/// </summary>
internal sealed class ShopContext(DbContextOptions<ShopContext> options) : DbContext(options)
{
    public DbSet<Product> Products => Set<Product>();

    public DbSet<PriceObservation> PriceHistory => Set<PriceObservation>();

    public DbSet<Stock> Stock => Set<Stock>();

    public DbSet<InvitationCode> Invitations => Set<InvitationCode>();

    public DbSet<Order> Orders => Set<Order>();

    public DbSet<SharedKey> SharedKeys => Set<SharedKey>();

    protected override void OnModelCreating(ModelBuilder model) => ShopModel.Build(model);
}
