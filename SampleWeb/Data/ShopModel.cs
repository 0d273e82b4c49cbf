using Microsoft.EntityFrameworkCore;

namespace SampleWeb.Data;

/// <summary>How the shop's types lie in its tables.</summary>
internal static class ShopModel
{
    public static void Build(ModelBuilder model)
    {
        model.Entity<Product>(product =>
        {
            product.ToTable("products");
            product.HasKey(p => p.Id).HasName("pk_products");
            product.Property(p => p.Id).HasColumnName("id").UseIdentityAlwaysColumn();
            product.Property(p => p.Name).HasColumnName("name").HasMaxLength(200);
            product.Property(p => p.Url).HasColumnName("url").HasMaxLength(2000);
            product.Property(p => p.Price).HasColumnName("price").HasPrecision(12, 2);
            product.Property(p => p.Currency).HasColumnName("currency").HasMaxLength(3);
            product.Property(p => p.UpdatedAt).HasColumnName("updated_at").HasDefaultValueSql("now()");
            product.HasIndex(p => p.Name).HasDatabaseName("ix_products_name");
            product.HasMany(p => p.History).WithOne().HasForeignKey(o => o.ProductId)
                .HasConstraintName("fk_price_history_products").OnDelete(DeleteBehavior.Cascade);
            product.HasOne(p => p.Stock).WithOne().HasForeignKey<Stock>(s => s.ProductId)
                .HasConstraintName("fk_stock_products").OnDelete(DeleteBehavior.Cascade);
        });

        model.Entity<PriceObservation>(observation =>
        {
            observation.ToTable("price_history");
            observation.HasKey(o => o.Id).HasName("pk_price_history");
            observation.Property(o => o.Id).HasColumnName("id").UseIdentityAlwaysColumn();
            observation.Property(o => o.ProductId).HasColumnName("product_id");
            observation.Property(o => o.Price).HasColumnName("price").HasPrecision(12, 2);
            observation.Property(o => o.ObservedAt).HasColumnName("observed_at").HasDefaultValueSql("now()");
            observation.HasIndex(o => new { o.ProductId, o.ObservedAt }).HasDatabaseName("ix_price_history_product_id_observed_at");
        });

        model.Entity<Stock>(stock =>
        {
            stock.ToTable("stock", table => table.HasCheckConstraint("ck_stock_quantity", "quantity >= 0"));
            stock.HasKey(s => s.ProductId).HasName("pk_stock");
            stock.Property(s => s.ProductId).HasColumnName("product_id").ValueGeneratedNever();
            stock.Property(s => s.Quantity).HasColumnName("quantity");
        });

        model.Entity<InvitationCode>(invitation =>
        {
            invitation.ToTable("invitations");
            invitation.HasKey(i => i.Code).HasName("pk_invitations");
            invitation.Property(i => i.Code).HasColumnName("code").HasMaxLength(100);
            invitation.Property(i => i.Token).HasColumnName("token").HasMaxLength(200);
            invitation.Property(i => i.GuestName).HasColumnName("guest_name").HasMaxLength(200);
            invitation.Property(i => i.UsedAt).HasColumnName("used_at");
        });

        model.Entity<Order>(order =>
        {
            order.ToTable("orders");
            order.HasKey(o => o.Id).HasName("pk_orders");
            order.Property(o => o.Id).HasColumnName("id").ValueGeneratedNever();
            order.Property(o => o.Customer).HasColumnName("customer").HasMaxLength(200);
            order.Property(o => o.Total).HasColumnName("total").HasPrecision(14, 2);
            order.Property(o => o.Currency).HasColumnName("currency").HasMaxLength(3);
            order.Property(o => o.CreatedAt).HasColumnName("created_at").HasDefaultValueSql("now()");
            order.HasMany(o => o.Lines).WithOne().HasForeignKey(l => l.OrderId)
                .HasConstraintName("fk_order_lines_orders").OnDelete(DeleteBehavior.Cascade);
        });

        model.Entity<OrderLine>(line =>
        {
            line.ToTable("order_lines");
            line.HasKey(l => new { l.OrderId, l.ProductId }).HasName("pk_order_lines");
            line.Property(l => l.OrderId).HasColumnName("order_id");
            line.Property(l => l.ProductId).HasColumnName("product_id");
            line.Property(l => l.Quantity).HasColumnName("quantity");
            line.Property(l => l.UnitPrice).HasColumnName("unit_price").HasPrecision(12, 2);
            line.HasIndex(l => l.ProductId).HasDatabaseName("ix_order_lines_product_id");
            line.HasOne<Product>().WithMany().HasForeignKey(l => l.ProductId)
                .HasConstraintName("fk_order_lines_products").OnDelete(DeleteBehavior.Restrict);
        });

        model.Entity<SharedKey>(key =>
        {
            key.ToTable("data_protection_keys");
            key.HasKey(k => k.Name).HasName("pk_data_protection_keys");
            key.Property(k => k.Name).HasColumnName("name").HasMaxLength(200);
            key.Property(k => k.Xml).HasColumnName("xml");
        });
    }
}
