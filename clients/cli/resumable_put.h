// One file on its way with `cairn put --resume`.

#ifndef CAIRN_CLIENTS_CLI_RESUMABLE_PUT_H_
#define CAIRN_CLIENTS_CLI_RESUMABLE_PUT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "clients/cli/upload_journal.h"
#include "clients/cpp/client.h"

namespace cairn {
namespace cli {

// Goes on with the upload that the journal tells of, or begins a new one: if
// there is none, if the file has changed since, or if the node does not know it
// any more. Removes the journal when the file is stored.
class ResumablePut : public std::enable_shared_from_this<ResumablePut> {
 public:
  // `notes` are lines for the user. Called once, on a thread of the client.
  using Done = std::function<void(absl::StatusOr<client::PutResult> result,
                                  std::vector<std::string> notes)>;

  // `client` is borrowed until `done` has been called.
  static void Start(client::Client* client, std::string path,
                    std::string journal_path, client::PutOptions options,
                    int streams, Done done);

 private:
  ResumablePut(client::Client* client, std::string path,
               std::string journal_path, client::PutOptions options,
               int streams, Done done);

  void Begin();
  void Send(client::UploadState resume);
  void Answered(bool resumed, absl::StatusOr<client::PutResult> result);

  client::Client* const client_;
  const std::string path_;
  const client::PutOptions options_;
  const int streams_;
  const Done done_;
  UploadJournal journal_;
  UploadSource source_;
  std::vector<std::string> notes_;
};

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_RESUMABLE_PUT_H_
