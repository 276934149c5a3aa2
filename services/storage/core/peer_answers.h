// What a member says of a file that it has not, or not well, after it has asked
// the others: nobody may be told that a file does not exist as long as somebody
// who could not be asked may have it.
//
// Plain values, no waiting; for one thread.

#ifndef CAIRN_SERVICES_STORAGE_CORE_PEER_ANSWERS_H_
#define CAIRN_SERVICES_STORAGE_CORE_PEER_ANSWERS_H_

#include <utility>

#include "absl/status/status.h"

namespace cairn {
namespace storage {

// Whether another member may do better than one that says this: it does not
// know the file, has no content of it, or none that it can read.
bool MayBeElsewhere(const absl::Status& status);

class PeerAnswers {
 public:
  // `here`: what this member says itself, for which MayBeElsewhere() is true.
  explicit PeerAnswers(absl::Status here) : here_(std::move(here)) {}

  // A member has said that. True: it is the last word, and is passed on.
  bool IsLastWord(const absl::Status& said);

  // Nobody has said yet who all the members are that may have the file.
  void CannotAsk();

  // All were asked, and none had the last word.
  //   UNAVAILABLE  CONTENT_NOT_HERE: not all of them could be asked, or one
  //                knows the file and cannot read it.
  //   any other    what this member says itself.
  absl::Status Verdict() const;

 private:
  const absl::Status here_;
  absl::Status unreachable_;  // What the first one said that may have it.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_PEER_ANSWERS_H_
