using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using Npgsql.EntityFrameworkCore.PostgreSQL.Metadata;

namespace SampleWeb.Data.Migrations;

/// <summary>The first tables.</summary>
[DbContext(typeof(ShopContext))]
[Migration("20261122000000_Initial")]
internal sealed class Initial : Migration
{
    private const string Identity = "Npgsql:ValueGenerationStrategy";

    protected override void Up(MigrationBuilder migration)
    {
        migration.CreateTable(
            "products",
            table => new
            {
                id = table.Column<long>("bigint").Annotation(Identity, NpgsqlValueGenerationStrategy.IdentityAlwaysColumn),
                name = table.Column<string>("character varying(200)", maxLength: 200),
                url = table.Column<string>("character varying(2000)", maxLength: 2000),
                price = table.Column<decimal>("numeric(12,2)", nullable: true),
                currency = table.Column<string>("character varying(3)", maxLength: 3),
                updated_at = table.Column<DateTimeOffset>("timestamp with time zone", defaultValueSql: "now()"),
            },
            constraints: table => table.PrimaryKey("pk_products", row => row.id));
        migration.CreateIndex("ix_products_name", "products", "name");

        migration.CreateTable(
            "price_history",
            table => new
            {
                id = table.Column<long>("bigint").Annotation(Identity, NpgsqlValueGenerationStrategy.IdentityAlwaysColumn),
                product_id = table.Column<long>("bigint"),
                price = table.Column<decimal>("numeric(12,2)"),
                observed_at = table.Column<DateTimeOffset>("timestamp with time zone", defaultValueSql: "now()"),
            },
            constraints: table =>
            {
                table.PrimaryKey("pk_price_history", row => row.id);
                table.ForeignKey(
                    "fk_price_history_products", row => row.product_id, "products", "id", onDelete: ReferentialAction.Cascade);
            });
        migration.CreateIndex("ix_price_history_product_id_observed_at", "price_history", ["product_id", "observed_at"]);

        migration.CreateTable(
            "stock",
            table => new
            {
                product_id = table.Column<long>("bigint"),
                quantity = table.Column<int>("integer"),
            },
            constraints: table =>
            {
                table.PrimaryKey("pk_stock", row => row.product_id);
                table.CheckConstraint("ck_stock_quantity", "quantity >= 0");
                table.ForeignKey("fk_stock_products", row => row.product_id, "products", "id", onDelete: ReferentialAction.Cascade);
            });

        migration.CreateTable(
            "invitations",
            table => new
            {
                code = table.Column<string>("character varying(100)", maxLength: 100),
                token = table.Column<string>("character varying(200)", maxLength: 200),
                guest_name = table.Column<string>("character varying(200)", maxLength: 200),
                used_at = table.Column<DateTimeOffset>("timestamp with time zone", nullable: true),
            },
            constraints: table => table.PrimaryKey("pk_invitations", row => row.code));

        migration.CreateTable(
            "orders",
            table => new
            {
                id = table.Column<Guid>("uuid"),
                customer = table.Column<string>("character varying(200)", maxLength: 200),
                total = table.Column<decimal>("numeric(14,2)"),
                currency = table.Column<string>("character varying(3)", maxLength: 3),
                created_at = table.Column<DateTimeOffset>("timestamp with time zone", defaultValueSql: "now()"),
            },
            constraints: table => table.PrimaryKey("pk_orders", row => row.id));

        migration.CreateTable(
            "order_lines",
            table => new
            {
                order_id = table.Column<Guid>("uuid"),
                product_id = table.Column<long>("bigint"),
                quantity = table.Column<int>("integer"),
                unit_price = table.Column<decimal>("numeric(12,2)"),
            },
            constraints: table =>
            {
                table.PrimaryKey("pk_order_lines", row => new { row.order_id, row.product_id });
                table.ForeignKey("fk_order_lines_orders", row => row.order_id, "orders", "id", onDelete: ReferentialAction.Cascade);
                table.ForeignKey("fk_order_lines_products", row => row.product_id, "products", "id", onDelete: ReferentialAction.Restrict);
            });
        migration.CreateIndex("ix_order_lines_product_id", "order_lines", "product_id");

        migration.CreateTable(
            "data_protection_keys",
            table => new
            {
                name = table.Column<string>("character varying(200)", maxLength: 200),
                xml = table.Column<string>("text"),
            },
            constraints: table => table.PrimaryKey("pk_data_protection_keys", row => row.name));
    }

    protected override void Down(MigrationBuilder migration)
    {
        foreach (var table in (string[])["data_protection_keys", "order_lines", "orders", "invitations", "stock", "price_history", "products"])
            migration.DropTable(table);
    }
}
