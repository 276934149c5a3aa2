#include "services/tracker/config/tracker_config.h"

#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/config/cluster_secret.h"
#include "lib/file_id/file_id.h"
#include "lib/placement/cluster_model.h"
#include "lib/rpc/server.h"

namespace cairn {
namespace tracker {
namespace {

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) +
         absl::Nanoseconds(duration.nanos());
}

// Collects everything that is wrong, so that a person mends it in one go.
class Complaints {
 public:
  void Add(absl::string_view field, absl::string_view text) {
    lines_.push_back(absl::StrCat(field, ": ", text));
    if (field_.empty()) field_ = std::string(field);
  }
  absl::Status status() const {
    if (lines_.empty()) return absl::OkStatus();
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           absl::StrJoin(lines_, "\n"), {{"field", field_}});
  }

 private:
  std::vector<std::string> lines_;
  std::string field_;
};

void CheckAddress(absl::string_view field, absl::string_view address,
                  bool may_be_zero, Complaints* complaints) {
  const auto parsed = rpc::ParseHostPort(address);
  if (!parsed.ok()) {
    complaints->Add(field, absl::StrCat("`", address,
                                        "` is not an address; write host:port "
                                        "or [v6]:port"));
  } else if (parsed->port == 0 && !may_be_zero) {
    complaints->Add(field, absl::StrCat("`", address,
                                        "` has port 0; others need the real "
                                        "one"));
  }
}

bool IsWildcard(absl::string_view address) {
  const auto parsed = rpc::ParseHostPort(address);
  return parsed.ok() && (parsed->host == "0.0.0.0" || parsed->host == "::");
}

void CheckPolicy(const v1::PlacementPolicy& policy, Complaints* complaints) {
  if (policy.group_policy() == v1::GROUP_POLICY_FIXED &&
      !ValidateGroupName(policy.fixed_group()).ok()) {
    complaints->Add("policy.fixed_group",
                    "must name a group when group_policy is "
                    "GROUP_POLICY_FIXED");
  }
  for (const auto& [group, weight] : policy.group_weights()) {
    if (!ValidateGroupName(group).ok()) {
      complaints->Add("policy.group_weights",
                      absl::StrCat("`", group, "` is not a group's name"));
    }
    if (weight > kWeightMax) {
      complaints->Add(
          "policy.group_weights",
          absl::StrCat("`", group, "`: ", weight, " is above ", kWeightMax));
    }
  }
}

}  // namespace

TrackerConfig WithDefaults(TrackerConfig config) {
  if (config.name().empty()) config.set_name("tracker");
  if (config.listen_size() == 0) config.add_listen("127.0.0.1:7700");
  if (!config.has_suspect_after()) {
    config.mutable_suspect_after()->set_seconds(3);
  }
  if (!config.has_offline_after()) {
    config.mutable_offline_after()->set_seconds(10);
  }
  if (config.log_level().empty()) config.set_log_level("info");
  if (config.log_format().empty()) config.set_log_format("text");
  if (!config.has_stop_grace()) config.mutable_stop_grace()->set_seconds(5);
  return config;
}

absl::Status ValidateConfig(const TrackerConfig& config) {
  Complaints complaints;
  for (const std::string& address : config.listen()) {
    CheckAddress("listen", address, /*may_be_zero=*/true, &complaints);
  }
  if (!config.advertise().empty()) {
    CheckAddress("advertise", config.advertise(), /*may_be_zero=*/false,
                 &complaints);
  } else if (config.listen_size() > 0 && IsWildcard(config.listen(0))) {
    complaints.Add("advertise",
                   absl::StrCat("must say where others reach this tracker, "
                                "since it listens on ",
                                config.listen(0)));
  }
  if (!config.admin_listen().empty()) {
    CheckAddress("admin_listen", config.admin_listen(), true, &complaints);
  }
  if (!config.metrics_listen().empty()) {
    CheckAddress("metrics_listen", config.metrics_listen(), true, &complaints);
  }
  if (config.data_dir().empty()) {
    complaints.Add("data_dir",
                   "must name a directory, such as /var/lib/cairn/tracker");
  } else if (!absl::StartsWith(config.data_dir(), "/")) {
    complaints.Add("data_dir",
                   absl::StrCat("`", config.data_dir(), "` must begin with /"));
  }
  const auto cluster_id = Uuid::Parse(config.cluster_id());
  if (!cluster_id.ok() || cluster_id->is_nil()) {
    complaints.Add("cluster_id",
                   "must be the cluster's UUID, the same everywhere; make one "
                   "with `uuidgen`");
  }
  if (config.cluster_secret().empty() == config.cluster_secret_file().empty()) {
    complaints.Add("cluster_secret_file",
                   "set either this or cluster_secret; make a secret with "
                   "`openssl rand -base64 32`");
  }
  for (const std::string& address : config.trackers()) {
    CheckAddress("trackers", address, /*may_be_zero=*/false, &complaints);
  }
  CheckPolicy(config.policy(), &complaints);

  const absl::Duration suspect = FromProto(config.suspect_after());
  const absl::Duration offline = FromProto(config.offline_after());
  if (suspect < absl::Milliseconds(100) || suspect > absl::Hours(1)) {
    complaints.Add("suspect_after", "must lie between 0.1 s and 1 h");
  }
  if (offline < suspect || offline > absl::Hours(24)) {
    complaints.Add("offline_after", "must lie between suspect_after and 24 h");
  }
  const absl::Duration grace = FromProto(config.stop_grace());
  if (grace < absl::ZeroDuration() || grace > absl::Hours(1)) {
    complaints.Add("stop_grace", "must lie between 0 and 1 h");
  }
  static const auto* const kLevels =
      new std::set<std::string>{"debug", "info", "warning", "error"};
  if (kLevels->count(config.log_level()) == 0) {
    complaints.Add("log_level", "must be debug, info, warning or error");
  }
  if (config.log_format() != "text" && config.log_format() != "json") {
    complaints.Add("log_format", "must be text or json");
  }
  return complaints.status();
}

absl::StatusOr<std::string> ReadClusterSecret(const TrackerConfig& config,
                                              FileSystem* fs) {
  return cairn::ReadClusterSecret(config.cluster_secret(),
                                  config.cluster_secret_file(), fs);
}

}  // namespace tracker
}  // namespace cairn
