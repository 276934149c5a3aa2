#include "integration_tests/chaos/life_calls.h"

#include <cstddef>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace testing {
namespace {

using Answers = std::vector<absl::StatusOr<LifeAnswer>>;

// Of what expires: over long before anything is verified.
constexpr absl::Duration kTimeToLive = absl::Seconds(2);

// Parts as small as the protocol lets them be: the more of them, the likelier
// is a fault between two.
constexpr int64_t kPartBytes = 256 << 10;

absl::Status Breach(absl::string_view what) {
  return absl::InternalError(absl::StrCat("the server broke its word: ", what));
}

client::Lifetime LifetimeOf(const absl::optional<absl::Time>& expire_time,
                            bool expiring) {
  client::Lifetime lifetime;
  lifetime.expire_time = expire_time;
  if (expiring) lifetime.time_to_live = kTimeToLive;
  return lifetime;
}

client::PutOptions PutOptionsOf(const LifeCall& call) {
  client::PutOptions options;
  options.durability = call.durability;
  options.request_id = call.request;
  options.attributes = call.change.made.attributes;
  options.lifetime =
      LifetimeOf(call.change.made.expire_time, call.change.made.expiring);
  options.store_path = call.store_path;
  if (call.making == Making::kShared) options.dedup = true;
  if (call.making == Making::kDerived) {
    options.derived_from = call.made_of;
    options.prefix = call.prefix;
  }
  return options;
}

template <typename Options>
Options OptionsOf(const LifeCall& call) {
  Options options;
  options.durability = call.durability;
  options.request_id = call.request;
  return options;
}

client::DeleteOptions DeleteOptionsOf(const LifeCall& call) {
  auto options = OptionsOf<client::DeleteOptions>(call);
  options.with_derived = call.with_derived;
  options.purge = call.change.kind == FileChange::Kind::kPurge;
  return options;
}

// What an answer must say whatever was done.
absl::Status CheckReached(const LifeCall& call, const LifeAnswer& answer) {
  if (answer.level < call.durability.level ||
      (call.durability.policy == client::ReplicaPolicy::kRequired &&
       answer.replicas < call.durability.replicas)) {
    return Breach(absl::StrCat(
        call.file_id, ": ", NameOf(call.change.kind),
        " acknowledged at less than was required: ", answer.replicas, " of ",
        call.durability.replicas));
  }
  return absl::OkStatus();
}

template <typename Result>
absl::StatusOr<LifeAnswer> AnswerOf(const LifeCall& call,
                                    absl::StatusOr<Result> result) {
  CAIRN_RETURN_IF_ERROR(result.status());
  LifeAnswer answer;
  answer.info = std::move(result->info);
  answer.level = result->level;
  answer.replicas = result->replicas;
  answer.replayed = result->replayed;
  CAIRN_RETURN_IF_ERROR(CheckReached(call, answer));
  if (call.change.kind == FileChange::Kind::kMake &&
      answer.info.size_bytes !=
          static_cast<int64_t>(call.change.made.content.size())) {
    return Breach(absl::StrCat(answer.info.file_id, ": another size"));
  }
  return answer;
}

absl::StatusOr<LifeAnswer> AnswerOf(
    const LifeCall& call, absl::StatusOr<client::DeleteResult> result) {
  CAIRN_RETURN_IF_ERROR(result.status());
  LifeAnswer answer;
  answer.level = result->level;
  answer.replicas = result->replicas;
  answer.replayed = result->replayed;
  CAIRN_RETURN_IF_ERROR(CheckReached(call, answer));
  if (result->undelete_until.has_value() ==
      (call.change.kind == FileChange::Kind::kPurge)) {
    return Breach(absl::StrCat(call.file_id, ": ", NameOf(call.change.kind),
                               " answered as the other one"));
  }
  return answer;
}

absl::StatusOr<LifeAnswer> PutInParts(LifeCall* call) {
  client::ResumableOptions options;
  options.put = PutOptionsOf(*call);
  options.put.request_id = Uuid();
  options.streams = 2;
  options.part_bytes = kPartBytes;
  options.resume = call->upload;
  options.begun = [call](const std::string& upload_id) {
    call->upload = {upload_id, {}};
    return absl::OkStatus();
  };
  options.part_sent = [call](const client::SentPart& part) {
    call->upload.parts.push_back(part);
    if (call->part_sent != nullptr) call->part_sent();
    return absl::OkStatus();
  };
  return AnswerOf(*call,
                  call->client->PutFileResumable(call->source_file, options));
}

absl::StatusOr<LifeAnswer> Make(LifeCall* call) {
  switch (call->making) {
    case Making::kAppender:
      return AnswerOf(*call, call->client->CreateAppender(
                                 std::string(call->change.made.content),
                                 PutOptionsOf(*call)));
    case Making::kCopy: {
      auto options = OptionsOf<client::CopyOptions>(*call);
      if (!call->keeps_attributes) {
        options.attributes = call->change.made.attributes;
      }
      options.lifetime =
          LifetimeOf(call->change.made.expire_time, call->change.made.expiring);
      return AnswerOf(*call, call->client->Copy(call->made_of, options));
    }
    case Making::kInParts:
      return PutInParts(call);
    case Making::kPut:
    case Making::kShared:
    case Making::kDerived:
      break;
  }
  return AnswerOf(
      *call, call->client->Put(call->change.made.content, PutOptionsOf(*call)));
}

absl::StatusOr<LifeAnswer> Append(const LifeCall& call) {
  auto options = OptionsOf<client::UpdateOptions>(call);
  options.if_size_bytes = call.size_before;
  return AnswerOf(
      call, call.client->Append(call.file_id, std::string(call.change.appended),
                                options));
}

// A call that has no form that returns at once.
absl::StatusOr<LifeAnswer> Block(LifeCall* call) {
  switch (call->change.kind) {
    case FileChange::Kind::kMake:
      return Make(call);
    case FileChange::Kind::kAppend:
      return Append(*call);
    case FileChange::Kind::kSetExpiry:
      return AnswerOf(*call, call->client->SetExpiry(
                                 call->file_id,
                                 LifetimeOf(call->change.expire_time,
                                            call->change.expiring),
                                 OptionsOf<client::SetExpiryOptions>(*call)));
    case FileChange::Kind::kUndelete:
      return AnswerOf(
          *call, call->client->Undelete(
                     call->file_id, OptionsOf<client::UndeleteOptions>(*call)));
    case FileChange::Kind::kSeal:
      return AnswerOf(
          *call, call->client->Seal(call->file_id,
                                    OptionsOf<client::UpdateOptions>(*call)));
    case FileChange::Kind::kDescribe:
    case FileChange::Kind::kDelete:
    case FileChange::Kind::kPurge:
      break;
  }
  return absl::InternalError("started already");
}

// Counts what was started and has not ended.
class Pending {
 public:
  void Begin() {
    MutexLock lock(&mu_);
    ++count_;
  }
  void End() {
    MutexLock lock(&mu_);
    --count_;
    ended_.SignalAll();
  }
  void AwaitNone() {
    MutexLock lock(&mu_);
    while (count_ > 0) ended_.Wait(&mu_);
  }

 private:
  Mutex mu_;
  CondVar ended_;
  int count_ ABSL_GUARDED_BY(mu_) = 0;
};

// False if it has no form that returns at once. `answer` is there when
// `pending` has ended.
bool Start(const LifeCall& call, Pending* pending,
           absl::StatusOr<LifeAnswer>* answer) {
  const auto done = [&call, pending, answer](auto result) {
    *answer = AnswerOf(call, std::move(result));
    pending->End();
  };
  switch (call.change.kind) {
    case FileChange::Kind::kMake:
      if (call.making != Making::kPut && call.making != Making::kShared &&
          call.making != Making::kDerived) {
        return false;
      }
      pending->Begin();
      call.client->PutAsync(call.change.made.content, PutOptionsOf(call), done);
      return true;
    case FileChange::Kind::kDescribe:
      pending->Begin();
      call.client->SetAttributesAsync(
          call.file_id, call.change.description,
          OptionsOf<client::SetAttributesOptions>(call), done);
      return true;
    case FileChange::Kind::kDelete:
    case FileChange::Kind::kPurge:
      pending->Begin();
      call.client->DeleteAsync(call.file_id, DeleteOptionsOf(call), done);
      return true;
    case FileChange::Kind::kAppend:
    case FileChange::Kind::kSetExpiry:
    case FileChange::Kind::kUndelete:
    case FileChange::Kind::kSeal:
      break;
  }
  return false;
}

}  // namespace

Answers MakeCalls(const std::vector<LifeCall*>& calls) {
  Answers answers(calls.size(), absl::UnknownError("no answer"));
  Pending pending;
  std::vector<size_t> blocking;
  for (size_t i = 0; i < calls.size(); ++i) {
    if (!Start(*calls[i], &pending, &answers[i])) blocking.push_back(i);
  }
  for (const size_t i : blocking) answers[i] = Block(calls[i]);
  pending.AwaitNone();
  return answers;
}

std::vector<Seen> ReadAll(client::Client* client,
                          const std::vector<std::string>& file_ids) {
  std::vector<Seen> seen(file_ids.size());
  Pending pending;
  client::GetOptions options;
  options.include_attributes = true;
  for (size_t i = 0; i < file_ids.size(); ++i) {
    pending.Begin();
    client->GetAsync(
        file_ids[i], options,
        [&pending, one = &seen[i]](absl::StatusOr<client::GetResult> got) {
          if (got.ok()) {
            one->info = std::move(got->info);
            one->content = std::move(got->content);
          } else {
            one->status = got.status();
          }
          pending.End();
        });
  }
  pending.AwaitNone();
  return seen;
}

std::vector<Seen> StatAll(client::Client* client,
                          const std::vector<std::string>& file_ids) {
  std::vector<Seen> seen(file_ids.size());
  Pending pending;
  client::StatOptions options;
  options.include_attributes = true;
  for (size_t i = 0; i < file_ids.size(); ++i) {
    pending.Begin();
    client->StatAsync(
        file_ids[i], options,
        [&pending, one = &seen[i]](absl::StatusOr<client::FileInfo> info) {
          if (info.ok()) {
            one->info = *std::move(info);
          } else {
            one->status = info.status();
          }
          pending.End();
        });
  }
  pending.AwaitNone();
  return seen;
}

std::string Difference(const Seen& seen, const FileState& state) {
  const ErrorReason reason = ReasonOf(seen.status);
  switch (state.standing) {
    case FileState::Standing::kNone:
      // With nobody else to ask a member cannot know.
      if (reason == ErrorReason::kFileNotFound ||
          reason == ErrorReason::kContentNotHere) {
        return "";
      }
      break;
    case FileState::Standing::kDeleted:
      if (reason == ErrorReason::kFileDeleted) return "";
      break;
    case FileState::Standing::kSealed: {
      if (reason != ErrorReason::kFileSealed) break;
      const std::string sealed_as = MetadataOf(seen.status)["file_id"];
      if (state.sealed_as.empty() || sealed_as == state.sealed_as) return "";
      return absl::StrCat("sealed as ", sealed_as);
    }
    case FileState::Standing::kThere:
      if (!state.expiring) break;
      // Its space may have been reclaimed.
      if (reason == ErrorReason::kFileExpired ||
          reason == ErrorReason::kFileDeleted) {
        return "";
      }
      return seen.status.ok() ? "not expired" : seen.status.ToString();
  }
  if (!seen.status.ok()) return seen.status.ToString();
  if (!state.is_there()) return "there";
  if (seen.info.kind != state.kind) return "another kind";
  if (seen.info.size_bytes != static_cast<int64_t>(state.content.size())) {
    return absl::StrCat("another size, ", seen.info.size_bytes);
  }
  if (seen.content.has_value() && *seen.content != state.content) {
    return "other bytes";
  }
  if (seen.info.attributes != state.attributes) return "other attributes";
  if (seen.info.expire_time != state.expire_time) return "another expiry";
  return "";
}

}  // namespace testing
}  // namespace cairn
