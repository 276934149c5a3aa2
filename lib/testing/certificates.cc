#include "lib/testing/certificates.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/check.h"

namespace cairn {
namespace {

EVP_PKEY* MakeKey() {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  CAIRN_CHECK(key != nullptr);
  return key;
}

void SetTime(ASN1_TIME* field, absl::Time time) {
  CAIRN_CHECK(ASN1_TIME_set(field, absl::ToTimeT(time)) != nullptr);
}

void AddExtension(X509* certificate, X509* issuer, int nid,
                  const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension =
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  CAIRN_CHECK_MSG(extension != nullptr, value);
  CAIRN_CHECK(X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

// With no extensions and not signed.
X509* MakeCertificate(absl::string_view name, long serial, absl::Time begin,
                      absl::Time end, EVP_PKEY* key) {
  X509* const certificate = X509_new();
  CAIRN_CHECK(certificate != nullptr);
  CAIRN_CHECK(X509_set_version(certificate, 2) == 1);
  CAIRN_CHECK(ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial) ==
              1);
  SetTime(X509_getm_notBefore(certificate), begin);
  SetTime(X509_getm_notAfter(certificate), end);
  CAIRN_CHECK(X509_NAME_add_entry_by_txt(
                  X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                  reinterpret_cast<const unsigned char*>(name.data()),
                  static_cast<int>(name.size()), -1, 0) == 1);
  CAIRN_CHECK(X509_set_pubkey(certificate, key) == 1);
  return certificate;
}

std::string TakePem(BIO* bio) {
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  std::string pem(text, static_cast<size_t>(size));
  BIO_free(bio);
  return pem;
}

std::string PemOf(X509* certificate) {
  BIO* const bio = BIO_new(BIO_s_mem());
  CAIRN_CHECK(PEM_write_bio_X509(bio, certificate) == 1);
  return TakePem(bio);
}

std::string PemOf(EVP_PKEY* key) {
  BIO* const bio = BIO_new(BIO_s_mem());
  CAIRN_CHECK(PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr,
                                       nullptr) == 1);
  return TakePem(bio);
}

}  // namespace

struct CertificateAuthority::Own {
  EVP_PKEY* key = nullptr;
  X509* certificate = nullptr;
};

CertificateAuthority::CertificateAuthority(absl::string_view name)
    : own_(std::make_unique<Own>()) {
  own_->key = MakeKey();
  own_->certificate =
      MakeCertificate(name, serial_++, absl::Now() - absl::Hours(24),
                      absl::Now() + absl::Hours(24 * 30), own_->key);
  X509_set_issuer_name(own_->certificate,
                       X509_get_subject_name(own_->certificate));
  AddExtension(own_->certificate, own_->certificate, NID_basic_constraints,
               "critical,CA:TRUE");
  AddExtension(own_->certificate, own_->certificate, NID_key_usage,
               "critical,keyCertSign,cRLSign");
  AddExtension(own_->certificate, own_->certificate, NID_subject_key_identifier,
               "hash");
  CAIRN_CHECK(X509_sign(own_->certificate, own_->key, EVP_sha256()) > 0);
  certificate_pem_ = PemOf(own_->certificate);
}

CertificateAuthority::~CertificateAuthority() {
  X509_free(own_->certificate);
  EVP_PKEY_free(own_->key);
}

IssuedCertificate CertificateAuthority::Issue(
    const CertificateRequest& request) {
  EVP_PKEY* const key = MakeKey();
  X509* const certificate = MakeCertificate(
      request.name, serial_++, request.not_before, request.not_after, key);
  X509_set_issuer_name(certificate, X509_get_subject_name(own_->certificate));
  if (!request.alternative_names.empty()) {
    AddExtension(certificate, own_->certificate, NID_subject_alt_name,
                 absl::StrJoin(request.alternative_names, ","));
  }
  AddExtension(certificate, own_->certificate, NID_authority_key_identifier,
               "keyid:always");
  CAIRN_CHECK(X509_sign(certificate, own_->key, EVP_sha256()) > 0);
  IssuedCertificate issued{PemOf(certificate), PemOf(key)};
  X509_free(certificate);
  EVP_PKEY_free(key);
  return issued;
}

void WritePrivateFile(const std::string& path, absl::string_view content) {
  const std::string beside = absl::StrCat(path, ".new");
  {
    std::ofstream out(beside, std::ios::binary | std::ios::trunc);
    CAIRN_CHECK_MSG(chmod(beside.c_str(), 0600) == 0, beside);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
    CAIRN_CHECK_MSG(out.good(), beside);
  }
  CAIRN_CHECK_MSG(std::rename(beside.c_str(), path.c_str()) == 0, path);
}

}  // namespace cairn
