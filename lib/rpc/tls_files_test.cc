// Files as people get them wrong. Certificates are made here; the time is the
// test's.

#include "lib/rpc/tls_files.h"

#include <sys/stat.h>

#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/io/file_system.h"
#include "lib/testing/certificates.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class TlsFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(
        ::testing::TempDir(), "/tls_files_test.",
        ::testing::UnitTest::GetInstance()->current_test_info()->name());
    ASSERT_EQ(mkdir(folder_.c_str(), 0700), 0);
    options_.certificate_file = Path("node.pem");
    options_.key_file = Path("node.key");
    options_.ca_file = Path("ca.pem");
    Write(ca_.Issue());
    WritePrivateFile(options_.ca_file, ca_.certificate_pem());
  }

  std::string Path(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }
  void Write(const IssuedCertificate& issued) {
    WritePrivateFile(options_.certificate_file, issued.certificate_pem);
    WritePrivateFile(options_.key_file, issued.key_pem);
  }
  absl::StatusOr<TlsFiles> Read(absl::Time now = absl::Now()) {
    return ReadTlsFiles(options_, now, FileSystem::Real());
  }
  // Refused, for what `field` names.
  template <typename Matcher>
  void ExpectWrong(const std::string& field, Matcher message) {
    const auto files = Read();
    EXPECT_THAT(files, StatusIs(absl::StatusCode::kInvalidArgument,
                                AllOf(StartsWith(field + ": "), message)));
    EXPECT_EQ(ReasonOf(files.status()), ErrorReason::kInvalidField);
    EXPECT_EQ(MetadataOf(files.status())["field"], field);
  }

  std::string folder_;
  CertificateAuthority ca_{"authority"};
  TlsOptions options_;
};

TEST_F(TlsFilesTest, SaysWhoseCertificateItIsAndWhenItEnds) {
  CertificateRequest request;
  request.name = "node1";
  request.not_after = absl::FromUnixSeconds(4102444800);
  Write(ca_.Issue(request));
  const auto files = Read();
  ASSERT_THAT(files, IsOk());
  EXPECT_EQ(files->subject, "CN=node1");
  EXPECT_EQ(files->not_after, request.not_after);
  EXPECT_TRUE(files->trusts_itself);
}

TEST_F(TlsFilesTest, AnotherFileIsAnotherFingerprint) {
  const std::string first = Read()->fingerprint;
  EXPECT_EQ(Read()->fingerprint, first);
  Write(ca_.Issue());
  const std::string second = Read()->fingerprint;
  EXPECT_NE(second, first);
  const CertificateAuthority other("other");
  WritePrivateFile(options_.ca_file,
                   ca_.certificate_pem() + other.certificate_pem());
  EXPECT_NE(Read()->fingerprint, second);
}

TEST_F(TlsFilesTest, NoticesACertificateThatOthersWillRefuse) {
  const CertificateAuthority other("other");
  WritePrivateFile(options_.ca_file, other.certificate_pem());
  ASSERT_THAT(Read(), IsOk());
  EXPECT_FALSE(Read()->trusts_itself);
}

TEST_F(TlsFilesTest, FilesThatAreMissingAreNamed) {
  options_.certificate_file = Path("nothing.pem");
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kNotFound,
                               AllOf(HasSubstr("tls.certificate_file"),
                                     HasSubstr("nothing.pem"))));
  options_.certificate_file = Path("node.pem");
  options_.key_file = Path("nothing.key");
  EXPECT_THAT(Read(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("tls.key_file")));
  options_.key_file = Path("node.key");
  options_.ca_file = Path("nothing-ca.pem");
  EXPECT_THAT(Read(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("tls.ca_file")));
}

TEST_F(TlsFilesTest, AKeyThatOthersCanReadIsRefused) {
  ASSERT_EQ(chmod(options_.key_file.c_str(), 0640), 0);
  ExpectWrong("tls.key_file", HasSubstr("chmod 600 " + options_.key_file));
  ASSERT_EQ(chmod(options_.key_file.c_str(), 0400), 0);
  EXPECT_THAT(Read(), IsOk());
}

TEST_F(TlsFilesTest, AKeyMustBelongToTheCertificate) {
  WritePrivateFile(options_.key_file, ca_.Issue().key_pem);
  ExpectWrong("tls.key_file", HasSubstr("is not the key of the certificate"));
}

TEST_F(TlsFilesTest, WhatIsNoPemIsRefused) {
  const IssuedCertificate issued = ca_.Issue();
  Write({"hello", issued.key_pem});
  ExpectWrong("tls.certificate_file", HasSubstr("holds no certificate"));
  Write({"", issued.key_pem});
  ExpectWrong("tls.certificate_file", HasSubstr("holds no certificate"));
  std::string damaged = issued.certificate_pem;
  damaged.replace(damaged.size() / 2, 8, "!!!!!!!!");
  Write({issued.certificate_pem + damaged, issued.key_pem});
  ExpectWrong("tls.certificate_file", HasSubstr("is damaged"));
  Write({issued.certificate_pem, "hello"});
  ExpectWrong("tls.key_file", HasSubstr("holds no key that can be read"));
  Write(issued);
  WritePrivateFile(options_.ca_file, issued.key_pem);
  ExpectWrong("tls.ca_file", HasSubstr("holds no certificate"));
}

TEST_F(TlsFilesTest, ACertificateMustBeValidNow) {
  CertificateRequest request;
  request.not_before = absl::FromUnixSeconds(1700000000);
  request.not_after = absl::FromUnixSeconds(1700086400);
  Write(ca_.Issue(request));
  ExpectWrong("tls.certificate_file",
              HasSubstr("has expired on 2023-11-15 22:13:20 UTC"));
  EXPECT_THAT(Read(request.not_after - absl::Seconds(1)), IsOk());
  EXPECT_THAT(Read(request.not_before), IsOk());
  EXPECT_THAT(Read(request.not_before - absl::Seconds(1)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("not valid before 2023-11-14 22:13:20 UTC")));
}

TEST_F(TlsFilesTest, FieldsThatNeedEachOther) {
  const TlsOptions all = options_;
  options_.key_file.clear();
  ExpectWrong("tls.key_file", HasSubstr("must name"));
  options_ = all;
  options_.certificate_file.clear();
  ExpectWrong("tls.certificate_file", HasSubstr("must name"));
  options_ = all;
  options_.ca_file.clear();
  EXPECT_THAT(Read(), IsOk());
  options_.require_client_certificate = true;
  ExpectWrong("tls.ca_file", HasSubstr("require_client_certificate"));
  options_ = TlsOptions();
  ExpectWrong("tls.ca_file", HasSubstr("must name"));
  options_.ca_file = all.ca_file;
  ASSERT_THAT(Read(), IsOk());
  EXPECT_EQ(Read()->not_after, absl::InfiniteFuture());
}

}  // namespace
}  // namespace rpc
}  // namespace cairn
