// The way to the catalogue of each group that a command is about.

#ifndef CAIRN_CLIENTS_CLI_CATALOG_ACCESS_H_
#define CAIRN_CLIENTS_CLI_CATALOG_ACCESS_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "clients/cli/session.h"
#include "clients/cpp/catalog.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace cli {

// Which members are asked, and by what they know who asks.
struct CatalogFlags {
  std::string group;  // Empty: all.
  std::string node;   // UUID, name or address: that one alone. Empty: any.
  std::string secret_file;
};

struct CatalogGroup {
  std::string name;
  client::CatalogOptions options;
};

// The groups in the order of their names, each with its members, those that are
// there first.
//   INVALID_ARGUMENT  no address, or no secret, was named.
//   NOT_FOUND         no such group or node.
//   UNAVAILABLE       nobody answers.
absl::StatusOr<std::vector<CatalogGroup>> FindCatalogs(
    const CatalogFlags& flags, Session* session);

// Cancels catalogs when the user interrupts, while it exists.
class CancelOnInterrupt {
 public:
  CancelOnInterrupt(const Interrupt* interrupt,
                    std::vector<client::Catalog*> catalogs);
  ~CancelOnInterrupt() ABSL_LOCKS_EXCLUDED(mu_);

  CancelOnInterrupt(const CancelOnInterrupt&) = delete;
  CancelOnInterrupt& operator=(const CancelOnInterrupt&) = delete;

 private:
  Mutex mu_;
  CondVar ended_changed_;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_CATALOG_ACCESS_H_
