#include "services/tracker/api/exchange.h"

#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "services/tracker/api/convert.h"

namespace cairn {
namespace tracker {
namespace {

constexpr size_t kAddressMax = 255;
constexpr size_t kUuidBytes = 16;

absl::Status Malformed(absl::string_view field, absl::string_view why) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      absl::StrCat(field, ": ", why), {{"field", std::string(field)}});
}

// Begins a new page when the last one is full.
class PageWriter {
 public:
  // Where the next record of about `bytes` goes.
  v1::ExchangePage* For(size_t bytes) {
    if (pages_.empty() || bytes_ >= kExchangePageBytes) {
      pages_.emplace_back();
      bytes_ = 0;
    }
    bytes_ += bytes;
    return &pages_.back();
  }

  std::vector<v1::ExchangePage> Take() { return std::move(pages_); }

 private:
  std::vector<v1::ExchangePage> pages_;
  size_t bytes_ = 0;
};

}  // namespace

v1::ExchangeSummary MakeSummary(const ExchangeIdentity& identity,
                                Membership* membership) {
  v1::ExchangeSummary summary;
  summary.set_tracker_instance(identity.tracker_instance);
  summary.set_address(identity.tracker_address);
  summary.set_decisions_digest(membership->decisions_digest());
  for (const std::string& node : membership->HeardHere()) {
    const absl::StatusOr<Uuid> uuid = Uuid::Parse(node);
    if (uuid.ok()) summary.add_heard_nodes(std::string(uuid->bytes()));
  }
  return summary;
}

absl::Status CheckSummary(const v1::ExchangeSummary& summary) {
  const absl::StatusOr<Uuid> instance = Uuid::Parse(summary.tracker_instance());
  if (!instance.ok() || instance->ToString() != summary.tracker_instance()) {
    return Malformed("summary.tracker_instance",
                     "must be a UUID in lower-case text form");
  }
  if (summary.address().size() > kAddressMax) {
    return Malformed("summary.address",
                     absl::StrCat("longer than ", kAddressMax, " bytes"));
  }
  for (const char c : summary.address()) {
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c))) {
      return Malformed("summary.address", "contains a space or worse");
    }
  }
  for (const std::string& node : summary.heard_nodes()) {
    if (node.size() != kUuidBytes) {
      return Malformed("summary.heard_nodes", "must have 16 bytes each");
    }
  }
  return absl::OkStatus();
}

std::vector<v1::ExchangePage> MakePages(const v1::ExchangeSummary& theirs,
                                        Membership* membership) {
  PageWriter writer;
  if (theirs.decisions_digest() != membership->decisions_digest()) {
    for (const Decision& decision : membership->AllDecisions()) {
      v1::Decision record = ToProto(decision);
      *writer.For(record.ByteSizeLong())->add_decisions() = std::move(record);
    }
  }
  std::set<std::string> heard_there;
  for (const std::string& bytes : theirs.heard_nodes()) {
    const absl::StatusOr<Uuid> uuid = Uuid::FromBytes(bytes);
    if (uuid.ok()) heard_there.insert(uuid->ToString());
  }
  for (const NodeWord& word : membership->WordsExcept(heard_there)) {
    v1::NodeWord record = ToProto(word);
    *writer.For(record.ByteSizeLong())->add_nodes() = std::move(record);
  }
  return writer.Take();
}

size_t MergePage(const v1::ExchangeSummary& theirs,
                 const v1::ExchangePage& page, Membership* membership) {
  std::vector<Decision> decisions;
  decisions.reserve(page.decisions_size());
  for (const v1::Decision& decision : page.decisions()) {
    decisions.push_back(DecisionFromProto(decision));
  }
  std::vector<NodeWord> words;
  words.reserve(page.nodes_size());
  for (const v1::NodeWord& word : page.nodes()) {
    words.push_back(WordFromProto(word));
  }
  // Decisions first: a node that was removed does not appear for a moment.
  size_t refused = 0;
  if (!decisions.empty()) {
    refused += membership->MergeDecisions(decisions, /*saved=*/false);
  }
  if (!words.empty()) {
    refused += membership->MergeWords(theirs.address(), std::move(words));
  }
  return refused;
}

}  // namespace tracker
}  // namespace cairn
