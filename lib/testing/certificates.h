// Certificates made on the spot, so that no file in the repository expires.
//
//   CertificateAuthority ca("test authority");
//   const IssuedCertificate node = ca.Issue({.name = "node1"});

#ifndef CAIRN_LIB_TESTING_CERTIFICATES_H_
#define CAIRN_LIB_TESTING_CERTIFICATES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace cairn {

struct CertificateRequest {
  std::string name = "test";

  // As OpenSSL writes them: `DNS:name`, `IP:address`.
  std::vector<std::string> alternative_names = {"DNS:localhost", "IP:127.0.0.1",
                                                "IP:::1"};

  absl::Time not_before = absl::Now() - absl::Hours(1);
  absl::Time not_after = absl::Now() + absl::Hours(24);
};

struct IssuedCertificate {
  std::string certificate_pem;
  std::string key_pem;
};

// Signs certificates; its own is `certificate_pem`. For one thread.
class CertificateAuthority {
 public:
  explicit CertificateAuthority(absl::string_view name);
  ~CertificateAuthority();

  CertificateAuthority(const CertificateAuthority&) = delete;
  CertificateAuthority& operator=(const CertificateAuthority&) = delete;

  const std::string& certificate_pem() const { return certificate_pem_; }

  // With a key of its own.
  IssuedCertificate Issue(const CertificateRequest& request = {});

 private:
  struct Own;
  std::unique_ptr<Own> own_;
  std::string certificate_pem_;
  long serial_ = 1;
};

// Makes `path` hold `content`, at once and readable by its owner alone.
void WritePrivateFile(const std::string& path, absl::string_view content);

}  // namespace cairn

#endif  // CAIRN_LIB_TESTING_CERTIFICATES_H_
