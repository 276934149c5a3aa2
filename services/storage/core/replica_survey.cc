#include "services/storage/core/replica_survey.h"

#include <cstddef>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/types/optional.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {
namespace {

// Surveys of a path at once.
constexpr size_t kOpenMax = 256;

ReplicaState StateOf(const absl::Status& failure) {
  const ErrorReason reason = ReasonOf(failure);
  return reason == ErrorReason::kFileNotFound ||
                 reason == ErrorReason::kFileDeleted
             ? ReplicaState::kAbsent
             : ReplicaState::kUnreachable;
}

}  // namespace

ReplicaState StateOfKnown(const Version& version, bool content_missing,
                          const Version& wanted) {
  if (!(version == wanted)) return ReplicaState::kOtherVersion;
  return content_missing ? ReplicaState::kContentMissing
                         : ReplicaState::kCurrent;
}

class ReplicaSurveys::Survey : public std::enable_shared_from_this<Survey> {
 public:
  Survey(PeerTransport* transport, uint8_t store_path, std::vector<Peer> peers,
         absl::string_view name, const Version& version, Done done)
      : transport_(transport),
        store_path_(store_path),
        peers_(std::move(peers)),
        version_(version),
        done_(std::move(done)),
        open_(peers_.size()),
        answers_(peers_.size()) {
    wish_.name = std::string(name);
    wish_.length = 0;
    wish_.info_only = true;
  }

  void Start() {
    for (size_t i = 0; i < peers_.size(); ++i) {
      Question::Start(shared_from_this(), i, /*attempt=*/1);
    }
    AnswerIfComplete();
  }

  // Who has not answered by now is unreachable.
  void GiveUp() {
    std::vector<std::shared_ptr<PeerStream>> streams;
    {
      MutexLock lock(&mu_);
      for (Answer& answer : answers_) {
        if (answer.given) continue;
        answer.given = true;
        --open_;
        if (answer.stream != nullptr) streams.push_back(answer.stream);
      }
    }
    for (const std::shared_ptr<PeerStream>& stream : streams) stream->Cancel();
    AnswerIfComplete();
  }

  bool answered() const {
    MutexLock lock(&mu_);
    return answered_;
  }

 private:
  struct Answer {
    ReplicaState state = ReplicaState::kUnreachable;
    std::shared_ptr<PeerStream> stream;  // Of the latest attempt.
    int attempt = 0;
    bool given = false;
  };

  // A member that was restarted does not know the connection that it had, nor
  // who is at its other end: what fails is tried once more.
  static constexpr int kAttempts = 2;

  // What one member is asked, once. Lives until its stream has ended, which may
  // be after the survey was answered.
  class Question : public FetchListener {
   public:
    static void Start(const std::shared_ptr<Survey>& survey, size_t index,
                      int attempt) {
      auto question = std::make_shared<Question>();
      question->survey_ = survey;
      question->index_ = index;
      question->attempt_ = attempt;
      question->self_ = question;
      const std::shared_ptr<PeerStream> stream = survey->transport_->StartFetch(
          survey->peers_[index], survey->store_path_, survey->wish_,
          question.get());
      if (survey->Begun(index, attempt, stream)) {
        stream->Next();
      } else {
        stream->Cancel();
      }
    }

    void OnContentMissing() override { content_missing_ = true; }
    void OnInfo(const FileInfo& info) override {
      const std::shared_ptr<PeerStream> stream = survey_->Given(
          index_,
          StateOfKnown(info.version, content_missing_, survey_->version_));
      if (stream != nullptr) stream->Next();  // To its end.
    }
    void OnChunk(absl::Cord /*data*/) override {}
    void OnEnd(const absl::Status& status) override {
      const std::shared_ptr<Question> self = std::move(self_);
      const ReplicaState state = StateOf(status);
      if (state == ReplicaState::kUnreachable && attempt_ < kAttempts &&
          survey_->IsOpen(index_)) {
        Start(survey_, index_, attempt_ + 1);
      } else {
        survey_->Given(index_, state);
      }
    }

   private:
    std::shared_ptr<Survey> survey_;
    size_t index_ = 0;
    int attempt_ = 1;
    std::shared_ptr<Question> self_;  // Until OnEnd().
    bool content_missing_ = false;    // Of the listener's calls alone.
  };

  bool IsOpen(size_t index) const {
    MutexLock lock(&mu_);
    return !answers_[index].given;
  }

  // False if nobody waits for what the stream brings. It may have ended, and
  // another attempt have begun.
  bool Begun(size_t index, int attempt,
             const std::shared_ptr<PeerStream>& stream) {
    MutexLock lock(&mu_);
    Answer& answer = answers_[index];
    if (answer.given || answer.attempt > attempt) return false;
    answer.attempt = attempt;
    answer.stream = stream;
    return true;
  }

  // The first word of a member counts. Returns its stream.
  std::shared_ptr<PeerStream> Given(size_t index, ReplicaState state) {
    std::shared_ptr<PeerStream> stream;
    {
      MutexLock lock(&mu_);
      Answer& answer = answers_[index];
      stream = answer.stream;
      if (!answer.given) {
        answer.given = true;
        answer.state = state;
        --open_;
      }
    }
    AnswerIfComplete();
    return stream;
  }

  void AnswerIfComplete() {
    std::vector<Replica> replicas;
    Done done;
    {
      MutexLock lock(&mu_);
      if (open_ > 0 || answered_) return;
      answered_ = true;
      for (size_t i = 0; i < peers_.size(); ++i) {
        replicas.push_back({peers_[i], answers_[i].state});
      }
      done = std::move(done_);
    }
    done(std::move(replicas));
  }

  PeerTransport* const transport_;
  const uint8_t store_path_;
  const std::vector<Peer> peers_;
  const Version version_;
  FetchWish wish_;  // Fixed once it is made.

  mutable Mutex mu_;
  Done done_ ABSL_GUARDED_BY(mu_);
  size_t open_ ABSL_GUARDED_BY(mu_);  // Answers that are to come.
  std::vector<Answer> answers_ ABSL_GUARDED_BY(mu_);
  bool answered_ ABSL_GUARDED_BY(mu_) = false;
};

ReplicaSurveys::~ReplicaSurveys() { Stop(); }

absl::Status ReplicaSurveys::Ask(std::vector<Peer> peers,
                                 absl::string_view name, const Version& version,
                                 absl::Duration deadline, Done done) {
  const auto survey =
      std::make_shared<Survey>(transport_, store_path_, std::move(peers), name,
                               version, std::move(done));
  bool stopped = false;
  {
    MutexLock lock(&mu_);
    if (open_.size() >= kOpenMax) DropAnswered();
    if (open_.size() >= kOpenMax) {
      return ErrorWithReason(
          absl::StatusCode::kResourceExhausted, ErrorReason::kOverloaded,
          "the other members are asked about too many files at once");
    }
    stopped = stopped_;
    if (!stopped) open_.push_back({deadline, survey});
  }
  if (stopped) {
    survey->GiveUp();
  } else {
    survey->Start();
  }
  return absl::OkStatus();
}

void ReplicaSurveys::DropAnswered() {
  open_.remove_if([](const Open& open) { return open.survey->answered(); });
}

void ReplicaSurveys::Expire(absl::Duration now) {
  std::vector<std::shared_ptr<Survey>> late;
  {
    MutexLock lock(&mu_);
    DropAnswered();
    for (auto it = open_.begin(); it != open_.end();) {
      if (it->deadline > now) {
        ++it;
        continue;
      }
      late.push_back(std::move(it->survey));
      it = open_.erase(it);
    }
  }
  for (const std::shared_ptr<Survey>& survey : late) survey->GiveUp();
}

void ReplicaSurveys::Stop() {
  std::list<Open> open;
  {
    MutexLock lock(&mu_);
    stopped_ = true;
    open.swap(open_);
  }
  for (const Open& each : open) each.survey->GiveUp();
}

}  // namespace storage
}  // namespace cairn
