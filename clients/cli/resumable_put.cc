#include "clients/cli/resumable_put.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "clients/cli/format.h"
#include "lib/base/error_reason.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace cli {

ResumablePut::ResumablePut(client::Client* client, std::string path,
                           std::string journal_path, client::PutOptions options,
                           int streams, Done done)
    : client_(client),
      path_(std::move(path)),
      options_(std::move(options)),
      streams_(streams),
      done_(std::move(done)),
      journal_(FileSystem::Real(), std::move(journal_path)) {}

void ResumablePut::Start(client::Client* client, std::string path,
                         std::string journal_path, client::PutOptions options,
                         int streams, Done done) {
  const std::shared_ptr<ResumablePut> put(
      new ResumablePut(client, std::move(path), std::move(journal_path),
                       std::move(options), streams, std::move(done)));
  put->Begin();
}

void ResumablePut::Begin() {
  absl::StatusOr<UploadSource> source = DescribeSource(path_);
  if (!source.ok()) {
    done_(source.status(), {});
    return;
  }
  source_ = *std::move(source);
  const absl::optional<JournalledUpload> earlier = journal_.Read();
  if (!earlier.has_value() || earlier->source.path != source_.path) {
    Send({});
    return;
  }
  if (!(earlier->source == source_)) {
    notes_.push_back(absl::StrCat(
        path_, " has changed since its upload was begun: beginning anew"));
    Send({});
    return;
  }
  int64_t there = 0;
  for (const client::SentPart& part : earlier->state.parts) {
    there += part.length;
  }
  notes_.push_back(absl::StrCat("going on with the upload of ", path_, ", ",
                                FormatBytes(there), " of ",
                                FormatBytes(source_.size_bytes), " are there"));
  Send(earlier->state);
}

void ResumablePut::Send(client::UploadState resume) {
  const bool resumed = !resume.upload_id.empty();
  client::ResumableOptions options;
  options.put = options_;
  options.streams = streams_;
  options.resume = std::move(resume);
  options.begun = [self = shared_from_this()](const std::string& upload_id) {
    return self->journal_.Begin(self->source_, upload_id);
  };
  options.part_sent = [self =
                           shared_from_this()](const client::SentPart& part) {
    return self->journal_.AddPart(part);
  };
  client_->PutFileResumableAsync(source_.path, options,
                                 [self = shared_from_this(), resumed](
                                     absl::StatusOr<client::PutResult> result) {
                                   self->Answered(resumed, std::move(result));
                                 });
}

void ResumablePut::Answered(bool resumed,
                            absl::StatusOr<client::PutResult> result) {
  const ErrorReason reason = ReasonOf(result.status());
  if (resumed && (reason == ErrorReason::kUploadNotFound ||
                  reason == ErrorReason::kUploadElsewhere ||
                  reason == ErrorReason::kUploadContentDiffers)) {
    notes_.push_back(absl::StrCat("cannot go on with the upload of ", path_,
                                  " (", result.status().message(),
                                  "): beginning anew"));
    Send({});
    return;
  }
  if (result.ok()) {
    const absl::Status removed = journal_.Remove();
    if (!removed.ok()) {
      notes_.push_back(absl::StrCat("cannot remove ", journal_.path(), ": ",
                                    removed.message()));
    }
  }
  done_(std::move(result), std::move(notes_));
}

}  // namespace cli
}  // namespace cairn
