using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Pooler.Engine.Encryption;

/// <summary>Reads the PEM files of the settings <c>client_tls_…_file</c> and <c>server_tls_…_file</c>.</summary>
internal static class CertificateFiles
{
    /// <summary>An own certificate, the chain behind it in the same file, and its key (RSA or EC, PKCS#1, SEC1 or PKCS#8).</summary>
    /// <param name="side"><c>client</c> or <c>server</c>: which settings to name in errors.</param>
    /// <param name="certificateFile">The certificate first, then those that vouch for it.</param>
    /// <param name="keyFile">The key, without a passphrase.</param>
    /// <exception cref="TlsSetupException">A file is missing or broken, or they do not belong together.</exception>
    public static SslStreamCertificateContext Own(string side, string certificateFile, string keyFile)
    {
        var (certificateSetting, keySetting) = ($"{side}_tls_cert_file", $"{side}_tls_key_file");
        var certificatePem = Read(certificateSetting, certificateFile);
        var keyPem = Read(keySetting, keyFile);
        var chain = Import(certificateSetting, certificateFile, certificatePem);
        if (keyPem.Contains("ENCRYPTED", StringComparison.Ordinal))
            throw new TlsSetupException(keySetting, $"\"{keyFile}\": the key is protected by a passphrase, which nobody could type");
        X509Certificate2 certificate;
        try
        {
            certificate = X509Certificate2.CreateFromPem(certificatePem, keyPem);
        }
        catch (Exception exception) when (exception is CryptographicException or ArgumentException)
        {
            throw new TlsSetupException(keySetting, keyPem.Contains("PRIVATE KEY", StringComparison.Ordinal)
                ? $"\"{keyFile}\": key values mismatch: it is not the key of the first certificate of \"{certificateFile}\""
                : $"\"{keyFile}\": no key in PEM format");
        }

        // Windows keeps keys by name and cannot use one that was only read.
        if (OperatingSystem.IsWindows())
            certificate = X509CertificateLoader.LoadPkcs12(certificate.Export(X509ContentType.Pfx), null);
        chain.RemoveAt(0);
        // Offline: a certificate that names an address for its issuer's must not make us call there.
        return SslStreamCertificateContext.Create(certificate, chain, offline: true);
    }

    /// <summary>The authorities in a file; null when there is none.</summary>
    /// <exception cref="TlsSetupException">It is missing or broken.</exception>
    public static X509Certificate2Collection? Authorities(string side, string file)
    {
        if (file.Length == 0) return null;
        var setting = $"{side}_tls_ca_file";
        return Import(setting, file, Read(setting, file));
    }

    private static X509Certificate2Collection Import(string setting, string file, string pem)
    {
        var certificates = new X509Certificate2Collection();
        try
        {
            certificates.ImportFromPem(pem);
        }
        catch (CryptographicException exception)
        {
            throw new TlsSetupException(setting, $"\"{file}\": {exception.Message}");
        }

        if (certificates.Count == 0) throw new TlsSetupException(setting, $"\"{file}\": no certificate in PEM format");
        return certificates;
    }

    private static string Read(string setting, string file)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new TlsSetupException(setting, $"\"{file}\": No such file or directory");
        }
        catch (UnauthorizedAccessException)
        {
            throw new TlsSetupException(setting, $"\"{file}\": Permission denied");
        }
        catch (IOException exception)
        {
            throw new TlsSetupException(setting, $"\"{file}\": {exception.Message}");
        }
    }
}
