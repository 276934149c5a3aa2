// cairn verify: reads files again, every byte, and compares their checksums
// with what the cluster and the manifest say.

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "clients/cli/commands.h"
#include "clients/cli/file_list.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/result_json.h"
#include "clients/cli/window.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/executor.h"
#include "lib/checksum/crc32c.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

// Takes bytes for their checksum only.
class ChecksumSink : public client::ContentSink {
 public:
  ChecksumSink(const Interrupt* interrupt, Progress* progress)
      : interrupt_(interrupt), progress_(progress) {}

  absl::Status Write(const absl::Cord& data) override {
    if (interrupt_->raised()) return absl::CancelledError("interrupted");
    for (absl::string_view piece : data.Chunks()) {
      crc32c_ = ExtendCrc32c(crc32c_, piece);
    }
    size_ += static_cast<int64_t>(data.size());
    progress_->AddBytes(static_cast<int64_t>(data.size()));
    return absl::OkStatus();
  }

  uint32_t crc32c() const { return crc32c_; }
  int64_t size() const { return size_; }

 private:
  const Interrupt* const interrupt_;
  Progress* const progress_;
  uint32_t crc32c_ = 0;
  int64_t size_ = 0;
};

absl::Status Mismatch(absl::string_view who, int64_t size, uint32_t crc32c,
                      int64_t expected_size, uint32_t expected_crc32c) {
  if (size == expected_size && crc32c == expected_crc32c) {
    return absl::OkStatus();
  }
  return ErrorWithReason(
      absl::StatusCode::kDataLoss, ErrorReason::kChecksumMismatch,
      absl::StrCat("read ", size, " bytes, CRC ", FormatCrc(crc32c), "; ", who,
                   " says ", expected_size, " bytes, CRC ",
                   FormatCrc(expected_crc32c)));
}

class VerifyRun {
 public:
  VerifyRun(const VerifyFlags& flags, Session* session)
      : session_(session),
        jobs_(flags.jobs),
        progress_(session->MakeProgress("verifying")),
        window_(flags.jobs, session->environment().interrupt,
                {nullptr, [this] { progress_->Tick(); }}) {}

  ExitCode Run(const std::vector<ListedFile>& files);

 private:
  absl::StatusOr<client::FileInfo> Verify(client::Client* client,
                                          const ListedFile& file);
  void Report(const ListedFile& file,
              const absl::StatusOr<client::FileInfo>& info);

  Session* const session_;
  const int jobs_;
  ExitCode exit_ = kExitOk;
  int64_t good_files_ = 0;
  const std::unique_ptr<Progress> progress_;
  Window window_;
};

ExitCode VerifyRun::Run(const std::vector<ListedFile>& files) {
  absl::StatusOr<std::unique_ptr<client::Client>> client =
      session_->Connect(jobs_, Session::Patience::kPatient);
  if (!client.ok()) return session_->Fail(client.status());
  int64_t total_bytes = 0;
  for (const ListedFile& file : files) {
    if (file.entry.has_value()) total_bytes += file.entry->size_bytes;
  }
  progress_->SetTotal(static_cast<int64_t>(files.size()),
                      files[0].entry.has_value()
                          ? absl::make_optional(total_bytes)
                          : absl::nullopt);
  {
    ThreadPool pool("cairn-verify", jobs_, static_cast<size_t>(jobs_));
    for (const ListedFile& file : files) {
      if (!window_.Enter()) break;
      const bool submitted = pool.TrySubmit([this, &file, &client] {
        auto info = Verify(client->get(), file);
        window_.Leave(
            [this, &file, info = std::move(info)] { Report(file, info); });
      });
      CAIRN_CHECK(submitted);  // The window lets no more in than fit.
    }
    if (!window_.Drain()) exit_ = kExitInterrupted;
    // The pool's end waits for the sinks, which see the interrupt.
  }
  window_.RunReports();
  progress_->Hide();
  const auto all = static_cast<int64_t>(files.size());
  session_->Say(
      absl::StrCat(exit_ == kExitInterrupted ? "cairn: interrupted; " : "",
                   good_files_, " of ", Count(all, "file"), " good, ",
                   FormatBytes(progress_->bytes()), " read"));
  return exit_;
}

absl::StatusOr<client::FileInfo> VerifyRun::Verify(client::Client* client,
                                                   const ListedFile& file) {
  ChecksumSink sink(session_->environment().interrupt, progress_.get());
  client::GetOptions options;
  options.timeout = session_->timeout();
  absl::StatusOr<client::FileInfo> info =
      client->GetTo(file.file_id, &sink, options);
  if (!info.ok()) return info;
  absl::Status good = Mismatch("the cluster", sink.size(), sink.crc32c(),
                               info->size_bytes, info->crc32c);
  if (good.ok() && file.entry.has_value()) {
    good = Mismatch("the manifest", sink.size(), sink.crc32c(),
                    file.entry->size_bytes, file.entry->crc32c);
  }
  if (!good.ok()) return good;
  return info;
}

void VerifyRun::Report(const ListedFile& file,
                       const absl::StatusOr<client::FileInfo>& info) {
  if (info.status().code() == absl::StatusCode::kCancelled) {
    exit_ = kExitInterrupted;
    return;
  }
  Json json;
  json["file_id"] = file.file_id;
  if (file.entry.has_value()) json["path"] = file.entry->path;
  if (!info.ok()) {
    progress_->Hide();
    exit_ =
        Combine(exit_, session_->FailItem(info.status(), file.Name(), json));
    return;
  }
  ++good_files_;
  progress_->AddFile();
  if (!session_->json()) return;
  AddFileInfo(*info, &json);
  json["good"] = true;
  session_->PrintJson(json);
}

}  // namespace

ExitCode RunVerify(const VerifyFlags& flags, Session* session) {
  if (flags.cluster) return RunCensus(flags, session);
  if (flags.deep || !flags.group.empty() || !flags.rate.empty()) {
    return session->Fail(ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        "--deep, --group and --rate go with --cluster"));
  }
  const absl::StatusOr<std::vector<ListedFile>> files =
      ListFiles(flags.file_ids, flags.manifest);
  if (!files.ok()) return session->Fail(files.status());
  if (session->flags().print_grpcurl) {
    for (const ListedFile& file : *files) {
      Json request;
      request["fileId"] = file.file_id;
      session->Write(NodeForFile(*session, file.file_id));
      session->Print(GrpcurlCall(*session, kNodeWord,
                                 "cairn.storage.v1.FileService/Download",
                                 request));
    }
    return kExitOk;
  }
  if (files->empty()) {
    session->Say("the manifest lists no files");
    return kExitOk;
  }
  return VerifyRun(flags, session).Run(*files);
}

}  // namespace cli
}  // namespace cairn
