// A tracker and a storage in this process, on a data directory of their own: a
// whole Cairn for trying it out, for tests, and for one machine.

#ifndef CAIRN_SERVICES_STANDALONE_STANDALONE_H_
#define CAIRN_SERVICES_STANDALONE_STANDALONE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/standalone/data_directory.h"
#include "services/storage/storage_server.h"
#include "services/tracker/tracker_server.h"

namespace cairn {
namespace standalone {

struct StandaloneOptions {
  // Made at the first start; see data_directory.h. Absolute.
  std::string data_dir;

  // Where the tracker listens, `host:port`. The rest follows from it:
  //
  //   tracker  P   its metrics  P + 1   storage  P + 100   its metrics  P + 101
  //
  // Port 0 takes free ones for all four. Empty: what the files say, at the
  // first start 127.0.0.1:7700.
  std::string listen;

  // Host under which others reach this machine; needed when `listen` is a
  // wildcard. Empty: the one of `listen`.
  std::string advertise_host;

  // Plain text beyond loopback is meant.
  bool allow_plaintext = false;

  // `field=value`, applied last, to the tracker's and the storage's
  // configuration.
  std::vector<std::string> tracker_overrides;
  std::vector<std::string> storage_overrides;
};

class Standalone {
 public:
  // Serves when it returns.
  //   INVALID_ARGUMENT     an option or a file is wrong; the message names the
  //                        field and the fix.
  //   FAILED_PRECONDITION  the directory or an address is in use.
  //   and the other errors of DataDirectory, TrackerServer and StorageServer.
  static absl::StatusOr<std::unique_ptr<Standalone>> Start(
      const StandaloneOptions& options);

  // As Stop().
  ~Standalone();

  Standalone(const Standalone&) = delete;
  Standalone& operator=(const Standalone&) = delete;

  const DataDirectory& data() const { return *data_; }
  const tracker::TrackerServer& tracker() const { return *tracker_; }
  const storage::StorageServer& storage() const { return *storage_; }

  // With which clients check the storage; empty without TLS.
  const std::string& tls_ca_file() const { return tls_ca_file_; }

  // The storage, which tells the tracker, then the tracker. When it returns
  // nothing runs any more.
  void Stop();

 private:
  Standalone() = default;

  std::unique_ptr<DataDirectory> data_;
  std::string tls_ca_file_;
  std::unique_ptr<tracker::TrackerServer> tracker_;
  std::unique_ptr<storage::StorageServer> storage_;
};

}  // namespace standalone
}  // namespace cairn

#endif  // CAIRN_SERVICES_STANDALONE_STANDALONE_H_
