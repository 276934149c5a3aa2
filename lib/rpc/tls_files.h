// The files that TLS needs, and what can be wrong with them. Nothing of gRPC in
// here: what gRPC would only log, or tell the other side, is found here first,
// with the name of the field and what to do about it.

#ifndef CAIRN_LIB_RPC_TLS_FILES_H_
#define CAIRN_LIB_RPC_TLS_FILES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace rpc {

// How a process shows who it is and checks who others are. All files are PEM,
// and may be replaced while the process runs.
struct TlsOptions {
  // The process's own certificate, with those between it and the authority
  // behind it, and its key. Servers need both; clients have both or neither.
  std::string certificate_file;
  std::string key_file;  // Readable by its owner alone.

  // Certificates of the authorities that the other side's certificate must come
  // from. Clients need it, and servers that ask for clients' certificates.
  std::string ca_file;

  // Servers: whoever has no certificate from `ca_file` is refused.
  bool require_client_certificate = false;

  // Clients: the name that servers' certificates must carry. Empty: the host of
  // the address that is called.
  std::string server_name;

  // How often the files are looked at; whole seconds, at least one.
  absl::Duration reload_interval = absl::Seconds(10);
};

// What the files hold now.
struct TlsFiles {
  // Of the process's own certificate; empty and infinite if there is none.
  std::string subject;
  absl::Time not_after = absl::InfiniteFuture();

  // Whether an authority of `ca_file` stands for the process's own certificate.
  // If not, processes with the same `ca_file` will refuse it.
  bool trusts_itself = true;

  // Another one when any of the files is another.
  std::string fingerprint;
};

// Reads and checks all that `options` names.
//
//   INVALID_ARGUMENT  a file is no PEM, others can read the key, the key does
//                     not belong to the certificate, or that has expired at
//                     `now` or is not valid yet. The message names the field,
//                     as in `tls.key_file`, and the fix.
//   NOT_FOUND and other errors of FileSystem, with the field's name.
absl::StatusOr<TlsFiles> ReadTlsFiles(const TlsOptions& options, absl::Time now,
                                      FileSystem* fs);

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_TLS_FILES_H_
