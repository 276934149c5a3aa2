#include "lib/rpc/tls_files.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <sys/stat.h>

#include <cstdint>
#include <ctime>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/cluster_auth.h"

namespace cairn {
namespace rpc {
namespace {

constexpr int64_t kFileBytesMax = 4 << 20;

constexpr char kCertificateField[] = "tls.certificate_file";
constexpr char kKeyField[] = "tls.key_file";
constexpr char kCaField[] = "tls.ca_file";

template <typename T, void (*kFree)(T*)>
struct Freer {
  void operator()(T* object) const { kFree(object); }
};
void FreeBio(BIO* bio) { BIO_free(bio); }
using BioPtr = std::unique_ptr<BIO, Freer<BIO, FreeBio>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY, EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Freer<X509, X509_free>>;
using StorePtr =
    std::unique_ptr<X509_STORE, Freer<X509_STORE, X509_STORE_free>>;
using StoreContextPtr =
    std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX, X509_STORE_CTX_free>>;

absl::Status Wrong(absl::string_view field, absl::string_view why) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      absl::StrCat(field, ": ", why), {{"field", std::string(field)}});
}

BioPtr Open(const std::string& pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// All certificates of a file.
absl::StatusOr<std::vector<X509Ptr>> ParseCertificates(absl::string_view field,
                                                       const std::string& path,
                                                       const std::string& pem) {
  std::vector<X509Ptr> certificates;
  const BioPtr bio = Open(pem);
  while (true) {
    X509Ptr certificate(
        PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) break;
    certificates.push_back(std::move(certificate));
  }
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  const bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM &&
                      ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (certificates.empty() || !at_end) {
    return Wrong(field,
                 absl::StrCat(path,
                              certificates.empty()
                                  ? " holds no certificate"
                                  : " holds a certificate that is damaged",
                              "; it is to be PEM, with lines -----BEGIN "
                              "CERTIFICATE-----"));
  }
  return certificates;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm tm = {};
  if (ASN1_TIME_to_tm(time, &tm) != 1) return absl::InfinitePast();
  return absl::FromTimeT(timegm(&tm));
}

std::string SubjectOf(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0,
                     XN_FLAG_RFC2253);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

std::string Day(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", time, absl::UTCTimeZone());
}

absl::StatusOr<std::string> ReadFile(absl::string_view field,
                                     const std::string& path, FileSystem* fs) {
  auto content = ReadWholeFile(fs, path, kFileBytesMax);
  if (!content.ok()) return WithContext(content.status(), field);
  return content;
}

// The key must open the certificate, and be nobody else's.
absl::Status CheckKey(const TlsOptions& options, const std::string& pem,
                      X509* certificate) {
  struct stat info;
  if (stat(options.key_file.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    return Wrong(kKeyField,
                 absl::StrCat("others can read ", options.key_file,
                              "; run `chmod 600 ", options.key_file, "`"));
  }
  const BioPtr bio = Open(pem);
  // A key with a password has nobody here to ask for it.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  const KeyPtr key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, +no_password, nullptr));
  ERR_clear_error();
  if (key == nullptr) {
    return Wrong(
        kKeyField,
        absl::StrCat(options.key_file,
                     " holds no key that can be read: it is to be PEM, "
                     "with a line -----BEGIN PRIVATE KEY-----, and "
                     "without a password"));
  }
  const bool match = X509_check_private_key(certificate, key.get()) == 1;
  ERR_clear_error();
  if (match) return absl::OkStatus();
  return Wrong(
      kKeyField,
      absl::StrCat(options.key_file, " is not the key of the certificate in ",
                   options.certificate_file, "; replace both together"));
}

absl::Status CheckTimes(const TlsOptions& options, X509* certificate,
                        absl::Time now) {
  const absl::Time begin = TimeOf(X509_get0_notBefore(certificate));
  const absl::Time end = TimeOf(X509_get0_notAfter(certificate));
  if (now >= end) {
    return Wrong(
        kCertificateField,
        absl::StrCat("the certificate in ", options.certificate_file,
                     " has expired on ", Day(end),
                     "; put a new one there, and its key in ", kKeyField));
  }
  if (now < begin) {
    return Wrong(
        kCertificateField,
        absl::StrCat("the certificate in ", options.certificate_file,
                     " is not valid before ", Day(begin),
                     "; is this machine's clock, ", Day(now), ", right?"));
  }
  return absl::OkStatus();
}

// Whether an authority stands for `chain[0]`.
bool IsTrusted(const std::vector<X509Ptr>& chain,
               const std::vector<X509Ptr>& authorities) {
  const StorePtr store(X509_STORE_new());
  for (const X509Ptr& authority : authorities) {
    X509_STORE_add_cert(store.get(), authority.get());
  }
  STACK_OF(X509)* const between = sk_X509_new_null();
  for (const X509Ptr& certificate : chain) {
    sk_X509_push(between, certificate.get());
  }
  const StoreContextPtr context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), chain.front().get(), between);
  // An authority in the middle of the chain will do, as it does for gRPC.
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_PARTIAL_CHAIN);
  const bool trusted = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  sk_X509_free(between);
  return trusted;
}

}  // namespace

absl::StatusOr<TlsFiles> ReadTlsFiles(const TlsOptions& options, absl::Time now,
                                      FileSystem* fs) {
  if (options.certificate_file.empty() != options.key_file.empty()) {
    return options.key_file.empty()
               ? Wrong(kKeyField, "must name the key of tls.certificate_file")
               : Wrong(kCertificateField,
                       "must name the certificate of tls.key_file");
  }
  if (options.certificate_file.empty() && options.ca_file.empty()) {
    return Wrong(kCaField, "must name a file with certificates of authorities");
  }
  if (options.require_client_certificate && options.ca_file.empty()) {
    return Wrong(kCaField,
                 "must name the authorities that clients' certificates come "
                 "from, since tls.require_client_certificate is set");
  }

  TlsFiles files;
  std::string all;
  std::vector<X509Ptr> authorities;
  if (!options.ca_file.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const std::string pem,
                           ReadFile(kCaField, options.ca_file, fs));
    CAIRN_ASSIGN_OR_RETURN(authorities,
                           ParseCertificates(kCaField, options.ca_file, pem));
    absl::StrAppend(&all, pem.size(), "\n", pem);
  }
  if (!options.certificate_file.empty()) {
    CAIRN_ASSIGN_OR_RETURN(
        const std::string pem,
        ReadFile(kCertificateField, options.certificate_file, fs));
    CAIRN_ASSIGN_OR_RETURN(
        const std::vector<X509Ptr> chain,
        ParseCertificates(kCertificateField, options.certificate_file, pem));
    CAIRN_ASSIGN_OR_RETURN(const std::string key,
                           ReadFile(kKeyField, options.key_file, fs));
    X509* const own = chain.front().get();
    CAIRN_RETURN_IF_ERROR(CheckKey(options, key, own));
    CAIRN_RETURN_IF_ERROR(CheckTimes(options, own, now));
    files.subject = SubjectOf(own);
    files.not_after = TimeOf(X509_get0_notAfter(own));
    files.trusts_itself = authorities.empty() || IsTrusted(chain, authorities);
    absl::StrAppend(&all, pem.size(), "\n", pem, key);
  }
  // Of the key too, so it must not be something that gives it away.
  files.fingerprint = HmacSha256("cairn tls files", all);
  return files;
}

}  // namespace rpc
}  // namespace cairn
