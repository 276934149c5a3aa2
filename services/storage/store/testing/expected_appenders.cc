#include "services/storage/store/testing/expected_appenders.h"

#include <algorithm>
#include <utility>

#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/checksum/crc32c.h"

namespace cairn {
namespace storage {

void ExpectedAppender::Apply(const Change& change, State* state) {
  std::string& content = state->content;
  switch (change.kind) {
    case Kind::kCreate:
      state->presence = kPresent;
      content = change.data;
      break;
    case Kind::kAppend:
      content += change.data;
      break;
    case Kind::kModify:
      content.replace(static_cast<size_t>(change.offset), change.data.size(),
                      change.data);
      break;
    case Kind::kTruncate:
      content.resize(static_cast<size_t>(change.offset), '\0');
      break;
    case Kind::kDelete:
      state->presence = kDeleted;
      content.clear();
      break;
  }
  state->version = change.version;
}

ExpectedAppender::Change* ExpectedAppender::Begin(Change change) {
  change.outcome = Change::Outcome::kUnderWay;
  changes_.push_back(std::move(change));
  return &changes_.back();
}

void ExpectedAppender::End(Change* change,
                           const absl::StatusOr<Committed>& answer) {
  if (!answer.ok()) {
    change->outcome = NothingWasChanged(answer.status())
                          ? Change::Outcome::kRefused
                          : Change::Outcome::kUnknown;
    if (change == &changes_.back()) DropRefused();
    return;
  }
  EXPECT_EQ(answer->file.name, name_);
  EXPECT_FALSE(answer->replayed) << name_;
  change->outcome = Change::Outcome::kDone;
  change->version = answer->file.version;
  // Those before it are answered by now: answers come in order.
  State state = base_;
  size_t made = 0;
  for (const Change& before : changes_) {
    if (before.outcome != Change::Outcome::kRefused) {
      EXPECT_TRUE(before.outcome == Change::Outcome::kDone)
          << name_ << ": a change was made before the one that it follows";
      Apply(before, &state);
      ++made;
    }
    if (&before == change) break;
  }
  if (change->kind != Kind::kDelete) {
    EXPECT_EQ(answer->file.size_bytes,
              static_cast<int64_t>(state.content.size()))
        << name_;
    EXPECT_EQ(answer->file.crc32c, Crc32c(state.content)) << name_;
  }
  done_ = std::max(done_, made);
  if (answer->reached == Durability::kSynced) {
    synced_ = std::max(synced_, made);
    ever_synced_ = true;
  }
  if (change == &changes_.back()) DropRefused();
}

void ExpectedAppender::DropRefused() {
  changes_.erase(std::remove_if(changes_.begin(), changes_.end(),
                                [](const Change& change) {
                                  return change.outcome ==
                                         Change::Outcome::kRefused;
                                }),
                 changes_.end());
  State state = base_;
  for (const Change& change : changes_) Apply(change, &state);
  content_ = std::move(state.content);
}

void ExpectedAppender::CheckRepeated(const absl::StatusOr<Committed>& answer) {
  if (!answer.ok()) {
    NothingWasChanged(answer.status());
    return;
  }
  EXPECT_TRUE(answer->replayed) << name_ << " was changed twice";
  EXPECT_EQ(answer->file.size_bytes, static_cast<int64_t>(content_.size()));
  EXPECT_EQ(answer->file.crc32c, Crc32c(content_));
  if (answer->reached == Durability::kSynced) {
    synced_ = std::max(synced_, changes_.size());
    ever_synced_ = true;
  }
}

void ExpectedAppender::OnEnding(Ending ending) {
  on_disk_ = ending == Ending::kPowerCut || (on_disk_ && !seen_);
  seen_ = false;
  DropRefused();
  if (ending == Ending::kCleanStop) {
    synced_ = done_;
    ever_synced_ = true;
  }
}

void ExpectedAppender::OnSeen(const Seen& seen) {
  if (lost_ && seen.presence == kPresent) {
    EXPECT_FALSE(seen.content.has_value()) << name_;
    return;
  }
  const size_t least = on_disk_ ? synced_ : done_;
  absl::optional<size_t> found;
  State state = base_;
  State match;
  for (size_t made = 0; made <= changes_.size(); ++made) {
    if (made > 0) Apply(changes_[made - 1], &state);
    if (made < least || state.presence != seen.presence) continue;
    if (seen.presence == kPresent) {
      const bool same =
          seen.info.size_bytes == static_cast<int64_t>(state.content.size()) &&
          seen.info.crc32c == Crc32c(state.content) &&
          (!state.version.has_value() || *state.version == seen.info.version);
      if (!same) continue;
      // The index says one thing; the bytes must say the same.
      EXPECT_TRUE(!seen.content.has_value() || *seen.content == state.content)
          << name_ << " has other bytes than were written";
    }
    found = made;
    match = state;
  }
  if (!found.has_value()) {
    ADD_FAILURE() << name_ << " is " << PresenceName(seen.presence) << " with "
                  << seen.info.size_bytes << " bytes, after at least " << least
                  << " of " << changes_.size() << " changes";
    return;
  }
  if (seen.presence == kPresent) match.version = seen.info.version;
  if (seen.presence == kPresent && !seen.content.has_value()) {
    EXPECT_FALSE(ever_synced_) << name_ << " has lost what was synced";
    lost_ = true;
  }
  seen_ = true;
  changes_.erase(changes_.begin() + static_cast<std::ptrdiff_t>(*found),
                 changes_.end());
  for (Change& change : changes_) change.outcome = Change::Outcome::kDone;
  if (!changes_.empty()) changes_.back().version = match.version;
  done_ = changes_.size();
  if (on_disk_) {
    synced_ = done_;
    ever_synced_ = ever_synced_ || (!lost_ && match.presence == kPresent);
  }
  content_ = match.content;
  // What a power cut cannot take back needs no history.
  while (synced_ > 1) {
    Apply(changes_.front(), &base_);
    changes_.pop_front();
    --synced_;
    --done_;
  }
}

void ExpectedAppender::ForgetRequests() {
  for (Change& change : changes_) change.request_id = Uuid();
}

bool ExpectedAppender::is_settled() const {
  for (const Change& change : changes_) {
    if (change.outcome != Change::Outcome::kDone) return false;
  }
  return true;
}

bool ExpectedAppender::is_present() const {
  State state = base_;
  for (const Change& change : changes_) Apply(change, &state);
  return is_settled() && !lost_ && state.presence == kPresent;
}

bool ExpectedAppender::is_deleted() const {
  State state = base_;
  for (const Change& change : changes_) Apply(change, &state);
  return is_settled() && state.presence == kDeleted;
}

}  // namespace storage
}  // namespace cairn
