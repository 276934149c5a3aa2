// Random operations, one after the other, on a cluster of real processes whose
// members are killed in between, against a model of what files are: a map. Each
// change is to be at every member before it is acknowledged, so whoever is
// asked next knows it.
//
// RapidCheck draws the operations and makes what fails shorter before it is
// printed; all of it follows from the seed.

#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cpp/client.h"
#include "gtest/gtest.h"
#include "integration_tests/conformance/world.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/attributes/attributes.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/file_id/file_id.h"
#include "lib/testing/seed_run.h"
#include "rapidcheck.h"
#include "rapidcheck/detail/Results.h"
#include "rapidcheck/detail/TestMetadata.h"
#include "rapidcheck/detail/TestParams.h"

namespace cairn {
namespace testing {
namespace {

enum class Operation {
  kPut,
  kPutStream,
  kCreateAppender,
  kAppend,
  kModify,
  kTruncate,
  kMergeAttributes,
  kOverwriteAttributes,
  kSetExpiry,
  kDerive,
  kSeal,
  kDelete,
  kUndelete,
  kRead,
  kKill,
  kKillAll,
};

constexpr const char* kNames[] = {
    "put",      "put stream", "create appender", "append",     "modify",
    "truncate", "merge",      "overwrite",       "set expiry", "derive",
    "seal",     "delete",     "undelete",        "read",       "kill",
    "kill all"};

// What is done next. What the numbers mean follows from the operation and from
// what there is.
struct Step {
  Operation operation = Operation::kPut;
  uint32_t file = 0;    // Which of those that were made, modulo their number.
  uint32_t member = 0;  // Whom to ask.
  uint32_t size = 0;
  uint32_t at = 0;
  bool repeated = false;  // A change is asked for twice with its request_id.
};

std::ostream& operator<<(std::ostream& os, const Step& step) {
  return os << kNames[static_cast<int>(step.operation)] << " file " << step.file
            << " member " << step.member << " size " << step.size << " at "
            << step.at << (step.repeated ? " twice" : "");
}

// As the model knows it.
struct ModelFile {
  std::string file_id;
  std::string content;
  Attributes attributes;
  absl::optional<absl::Time> expire_time;
  bool appender = false;
  bool derived = false;

  // Why it is not there, or kUnspecified.
  ErrorReason gone = ErrorReason::kUnspecified;
  bool kept = false;  // It is deleted, and can be brought back.
};

// Sizes around what is laid out otherwise, and between.
rc::Gen<uint32_t> AnySize() {
  return rc::gen::weightedOneOf<uint32_t>(
      {{6, rc::gen::inRange<uint32_t>(0, 5000)},
       {2, rc::gen::element<uint32_t>(0, 1, 262143, 262144, 262145, 1048576)},
       {2, rc::gen::inRange<uint32_t>(0, 1048577)}});
}

rc::Gen<Step> AnyStep() {
  return rc::gen::build<Step>(
      rc::gen::set(&Step::operation, rc::gen::weightedElement<Operation>(
                                         {{6, Operation::kPut},
                                          {2, Operation::kPutStream},
                                          {3, Operation::kCreateAppender},
                                          {10, Operation::kAppend},
                                          {5, Operation::kModify},
                                          {5, Operation::kTruncate},
                                          {5, Operation::kMergeAttributes},
                                          {2, Operation::kOverwriteAttributes},
                                          {3, Operation::kSetExpiry},
                                          {3, Operation::kDerive},
                                          {2, Operation::kSeal},
                                          {4, Operation::kDelete},
                                          {4, Operation::kUndelete},
                                          {8, Operation::kRead},
                                          {1, Operation::kKill},
                                          {1, Operation::kKillAll}})),
      rc::gen::set(&Step::file, rc::gen::inRange<uint32_t>(0, 1000)),
      rc::gen::set(&Step::member, rc::gen::inRange<uint32_t>(0, 3)),
      rc::gen::set(&Step::size, AnySize()),
      rc::gen::set(&Step::at, rc::gen::inRange<uint32_t>(0, 1 << 20)),
      rc::gen::set(&Step::repeated,
                   rc::gen::weightedElement<bool>({{4, false}, {1, true}})));
}

// A difference between the world and the model. It is printed at once, since
// what depends on time may not happen again when the steps are made fewer.
void Differ(int line, const std::string& what) {
  std::cerr << "model_test.cc:" << line << ": " << what << std::endl;
  RC_FAIL(what);
}

#define EXPECT_SAME(condition)                      \
  do {                                              \
    if (!(condition)) Differ(__LINE__, #condition); \
  } while (false)

// Asks again while members are coming back: a client leaves that to its caller.
template <typename Call>
auto Patiently(const Call& call) {
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  auto result = call();
  while (ReasonOf(result.status()) == ErrorReason::kInsufficientReplicas &&
         absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(50));
    result = call();
  }
  return result;
}

// Runs steps in a world and in the model.
class Run {
 public:
  explicit Run(World* world) : world_(world) {}

  void Do(const Step& step) {
    ++steps_;
    switch (step.operation) {
      case Operation::kPut:
      case Operation::kPutStream:
      case Operation::kCreateAppender:
        return Create(step);
      case Operation::kKill:
        return world_->KillMember(static_cast<int>(step.member));
      case Operation::kKillAll:
        return world_->RestartEverything(/*kill=*/true);
      default:
        break;
    }
    if (files_.empty()) return;
    ModelFile* const file = &files_[step.file % files_.size()];
    switch (step.operation) {
      case Operation::kAppend:
      case Operation::kModify:
      case Operation::kTruncate:
        return Update(step, file);
      case Operation::kMergeAttributes:
      case Operation::kOverwriteAttributes:
        return SetAttributes(step, file);
      case Operation::kSetExpiry:
        return SetExpiry(step, file);
      case Operation::kDerive:
        return Derive(step, *file);
      case Operation::kSeal:
        return Seal(step, file);
      case Operation::kDelete:
        return Delete(step, file);
      case Operation::kUndelete:
        return Undelete(step, file);
      default:
        return Read(step, *file);
    }
  }

  // Each file at each member.
  void CheckAll() {
    world_->AwaitMembers();
    Step step;
    for (const ModelFile& file : files_) {
      for (int member = 0; member < world_->members(); ++member) {
        step.member = static_cast<uint32_t>(member);
        Read(step, file);
      }
    }
  }

 private:
  template <typename Result>
  static std::string Describe(const ModelFile& file, const Result& result) {
    return absl::StrCat(file.file_id, ": ", result.status().ToString());
  }

  std::string Content(const Step& step) const {
    return ContentOf(steps_, step.size);
  }

  void Create(const Step& step) {
    ModelFile file;
    file.content = Content(step);
    file.appender = step.operation == Operation::kCreateAppender;
    client::PutOptions options;
    options.durability = world_->Everywhere();
    options.request_id = Uuid::Random();
    if (step.at % 2 == 1) {
      options.attributes = {{"made", absl::StrCat(steps_)}};
    }
    file.attributes = options.attributes;
    for (int round = 0; round < (step.repeated ? 2 : 1); ++round) {
      // The same member: requests are known where they were made.
      client::Client* const client =
          file.appender ? world_->client()
                        : world_->At(static_cast<int>(step.member));
      absl::StatusOr<client::PutResult> put;
      if (file.appender) {
        // Its origin takes the repetition; a client may choose another node.
        if (round > 0) break;
        put = Patiently(
            [&] { return client->CreateAppender(file.content, options); });
      } else if (step.operation == Operation::kPutStream) {
        put = Patiently([&] {
          Reader reader(&file.content);
          return client->PutFrom(&reader, absl::nullopt, options);
        });
      } else {
        put = Patiently([&] { return client->Put(file.content, options); });
      }
      if (!put.ok()) Differ(__LINE__, Describe(file, put));
      EXPECT_SAME(put->replicas == static_cast<uint32_t>(world_->members()));
      EXPECT_SAME(round == 0 || put->info.file_id == file.file_id);
      file.file_id = put->info.file_id;
    }
    files_.push_back(std::move(file));
  }

  // The error that a change of the file must get, if the model says so.
  static ErrorReason Refusal(const Step& step, const ModelFile& file) {
    if (file.gone != ErrorReason::kUnspecified) return file.gone;
    if (!file.appender) return ErrorReason::kNotAnAppender;
    if (step.operation == Operation::kModify &&
        step.at % (file.content.size() + 2) > file.content.size()) {
      return ErrorReason::kRangePastEnd;
    }
    return ErrorReason::kUnspecified;
  }

  void Update(const Step& step, ModelFile* file) {
    client::UpdateOptions options;
    options.durability = world_->Everywhere();
    options.request_id = Uuid::Random();
    const std::string content = Content(step);
    const size_t offset = step.at % (file->content.size() + 2);
    const ErrorReason refusal = Refusal(step, *file);
    std::string after = file->content;
    if (step.operation == Operation::kAppend) {
      after += content;
    } else if (step.operation == Operation::kTruncate) {
      after.resize(step.size, '\0');
    } else if (refusal == ErrorReason::kUnspecified) {
      after.resize(std::max(after.size(), offset + content.size()));
      after.replace(offset, content.size(), content);
    }
    for (int round = 0; round < (step.repeated ? 2 : 1); ++round) {
      client::Client* const client = world_->client();
      const auto updated = Patiently([&] {
        switch (step.operation) {
          case Operation::kAppend:
            return client->Append(file->file_id, content, options);
          case Operation::kModify:
            return client->Modify(file->file_id, static_cast<int64_t>(offset),
                                  content, options);
          default:
            return client->Truncate(file->file_id, step.size, options);
        }
      });
      if (refusal != ErrorReason::kUnspecified) {
        if (ReasonOf(updated.status()) != refusal) {
          Differ(__LINE__, Describe(*file, updated));
        }
        return;
      }
      if (!updated.ok()) Differ(__LINE__, Describe(*file, updated));
      EXPECT_SAME(updated->info.size_bytes ==
                  static_cast<int64_t>(after.size()));
      EXPECT_SAME(round == 0 || updated->replayed);
    }
    file->content = std::move(after);
  }

  void SetAttributes(const Step& step, ModelFile* file) {
    client::SetAttributesOptions options;
    options.durability = world_->Everywhere();
    options.request_id = Uuid::Random();
    AttributeChange change;
    change.overwrite = step.operation == Operation::kOverwriteAttributes;
    change.set[absl::StrCat("key", step.at % 5)] = absl::StrCat(steps_);
    if (!change.overwrite) {
      change.remove = {absl::StrCat("key", (step.at + 1) % 5)};
    }
    const auto set = Patiently([&] {
      return world_->client()->SetAttributes(file->file_id, change, options);
    });
    if (file->gone != ErrorReason::kUnspecified) {
      EXPECT_SAME(ReasonOf(set.status()) == file->gone);
      return;
    }
    if (!set.ok()) Differ(__LINE__, Describe(*file, set));
    if (change.overwrite) file->attributes.clear();
    for (const std::string& key : change.remove) file->attributes.erase(key);
    for (const auto& [key, value] : change.set) file->attributes[key] = value;
  }

  // Far from now, or never.
  void SetExpiry(const Step& step, ModelFile* file) {
    client::SetExpiryOptions options;
    options.durability = world_->Everywhere();
    options.request_id = Uuid::Random();
    client::Lifetime lifetime;
    if (step.at % 3 != 0) {
      lifetime.expire_time = absl::FromUnixSeconds(4000000000 + step.at);
    }
    const auto set = Patiently([&] {
      return world_->client()->SetExpiry(file->file_id, lifetime, options);
    });
    if (file->gone != ErrorReason::kUnspecified) {
      EXPECT_SAME(ReasonOf(set.status()) == file->gone);
      return;
    }
    if (!set.ok()) Differ(__LINE__, Describe(*file, set));
    file->expire_time = lifetime.expire_time;
  }

  // A file of that name may be there with the same content or another one, or
  // may have been deleted. The master need not be there.
  void Derive(const Step& step, const ModelFile& master) {
    client::PutOptions options;
    options.durability = world_->Everywhere();
    options.request_id = Uuid::Random();
    options.derived_from = master.file_id;
    options.prefix = absl::StrCat("_", step.at % 2);
    const std::string content = ContentOf(step.member, step.size % 3000);
    const auto put =
        Patiently([&] { return world_->client()->Put(content, options); });
    if (master.derived) {
      EXPECT_SAME(ReasonOf(put.status()) == ErrorReason::kWrongKind);
      return;
    }
    const auto id = DerivedFileId(master.file_id, options.prefix, "");
    EXPECT_SAME(id.ok());
    ModelFile* before = nullptr;
    for (ModelFile& file : files_) {
      if (file.file_id == *id) before = &file;
    }
    const bool is_there =
        before != nullptr && before->gone == ErrorReason::kUnspecified;
    if (is_there && before->content != content) {
      EXPECT_SAME(ReasonOf(put.status()) == ErrorReason::kFileExists);
      return;
    }
    if (!put.ok()) Differ(__LINE__, Describe(master, put));
    EXPECT_SAME(put->info.file_id == *id);
    if (is_there) return;
    ModelFile derived;
    derived.file_id = *id;
    derived.content = content;
    derived.derived = true;
    if (before != nullptr) {
      *before = std::move(derived);
    } else {
      files_.push_back(std::move(derived));
    }
  }

  void Seal(const Step& step, ModelFile* file) {
    client::UpdateOptions options;
    options.durability = world_->Everywhere();
    options.request_id = Uuid::Random();
    const ErrorReason refusal = Refusal(step, *file);
    ModelFile sealed = *file;
    sealed.appender = false;
    for (int round = 0; round < (step.repeated ? 2 : 1); ++round) {
      const auto answer = Patiently(
          [&] { return world_->client()->Seal(file->file_id, options); });
      if (refusal != ErrorReason::kUnspecified) {
        if (ReasonOf(answer.status()) != refusal) {
          Differ(__LINE__, Describe(*file, answer));
        }
        return;
      }
      if (!answer.ok()) Differ(__LINE__, Describe(*file, answer));
      EXPECT_SAME(round == 0 || answer->info.file_id == sealed.file_id);
      sealed.file_id = answer->info.file_id;
    }
    file->gone = ErrorReason::kFileSealed;
    files_.push_back(std::move(sealed));
  }

  void Delete(const Step& step, ModelFile* file) {
    client::DeleteOptions options;
    options.durability = world_->Everywhere();
    options.request_id = Uuid::Random();
    options.purge = step.at % 4 == 0;
    client::Client* const client = world_->At(static_cast<int>(step.member));
    for (int round = 0; round < (step.repeated ? 2 : 1); ++round) {
      const auto deleted =
          Patiently([&] { return client->Delete(file->file_id, options); });
      if (file->gone != ErrorReason::kUnspecified &&
          !(options.purge && file->kept)) {
        EXPECT_SAME(ReasonOf(deleted.status()) == file->gone);
        return;
      }
      if (!deleted.ok()) Differ(__LINE__, Describe(*file, deleted));
      EXPECT_SAME(deleted->undelete_until.has_value() == !options.purge);
      EXPECT_SAME(round == 0 || deleted->replayed);
    }
    file->gone = ErrorReason::kFileDeleted;
    file->kept = !options.purge;
  }

  void Undelete(const Step& step, ModelFile* file) {
    client::UndeleteOptions options;
    options.durability = world_->Everywhere();
    options.request_id = Uuid::Random();
    for (int round = 0; round < (step.repeated ? 2 : 1); ++round) {
      const auto back = Patiently(
          [&] { return world_->client()->Undelete(file->file_id, options); });
      if (!file->kept) {
        const ErrorReason expected = file->gone == ErrorReason::kUnspecified
                                         ? ErrorReason::kFileExists
                                         : file->gone;
        if (ReasonOf(back.status()) != expected) {
          Differ(__LINE__, Describe(*file, back));
        }
        return;
      }
      if (!back.ok()) Differ(__LINE__, Describe(*file, back));
      EXPECT_SAME(back->info.size_bytes ==
                  static_cast<int64_t>(file->content.size()));
      EXPECT_SAME(round == 0 || back->replayed);
    }
    file->gone = ErrorReason::kUnspecified;
    file->kept = false;
  }

  void Read(const Step& step, const ModelFile& file) {
    client::GetOptions options;
    options.include_attributes = true;
    options.offset = static_cast<int64_t>(step.at % (file.content.size() + 1));
    if (step.size > 0) options.length = step.size;
    const auto got =
        world_->At(static_cast<int>(step.member))->Get(file.file_id, options);
    if (file.gone != ErrorReason::kUnspecified) {
      EXPECT_SAME(ReasonOf(got.status()) == file.gone);
      return;
    }
    if (!got.ok()) Differ(__LINE__, Describe(file, got));
    EXPECT_SAME(
        got->content ==
        file.content.substr(static_cast<size_t>(options.offset),
                            step.size > 0 ? step.size : std::string::npos));
    EXPECT_SAME(got->info.size_bytes ==
                static_cast<int64_t>(file.content.size()));
    EXPECT_SAME(got->info.attributes == file.attributes);
    EXPECT_SAME(got->info.expire_time == file.expire_time);
  }

  class Reader : public client::ContentReader {
   public:
    explicit Reader(const std::string* content) : content_(*content) {}
    absl::StatusOr<size_t> Read(char* buffer, size_t size) override {
      const size_t length = content_.copy(buffer, size, at_);
      at_ += length;
      return length;
    }
    bool Rewind() override {
      at_ = 0;
      return true;
    }

   private:
    const std::string& content_;
    size_t at_ = 0;
  };

  World* const world_;
  std::vector<ModelFile> files_;
  uint64_t steps_ = 0;
};

void RunAgainstTheModel(Site site) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/2);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    rc::detail::TestMetadata metadata;
    metadata.description = "files are what the model says";
    rc::detail::TestParams params;
    params.seed = run.seed();
    params.maxSuccess = 6;
    const rc::detail::TestResult result = rc::detail::checkTestable(
        [site] {
          const auto steps =
              *rc::gen::resize(60,
                               rc::gen::container<std::vector<Step>>(AnyStep()))
                   .as("steps");
          Run against(World::Of(site));
          for (const Step& step : steps) against.Do(step);
          against.CheckAll();
        },
        metadata, params);
    if (!result.template is<rc::detail::SuccessResult>()) {
      rc::detail::printResultMessage(result, std::cerr);
      std::cerr << std::endl;
      ADD_FAILURE() << "see above";
    }
  }
}

TEST(ModelTest, ASingleNode) { RunAgainstTheModel(Site::kSingle); }

TEST(ModelTest, AGroup) { RunAgainstTheModel(Site::kGroup); }

}  // namespace
}  // namespace testing
}  // namespace cairn
