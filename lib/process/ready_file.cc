#include "lib/process/ready_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace cairn {

absl::Status WriteReadyFile(
    absl::string_view path,
    const std::vector<std::pair<std::string, std::string>>& fields) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const auto& [name, value] : fields) object[name] = value;

  const std::string target(path);
  const std::string beside = absl::StrCat(path, ".tmp");
  std::ofstream file(beside, std::ios::trunc);
  // Text that is not UTF-8 is shown with replacement characters.
  file << object.dump(-1, ' ', false,
                      nlohmann::ordered_json::error_handler_t::replace)
       << "\n";
  file.close();
  if (!file || std::rename(beside.c_str(), target.c_str()) != 0) {
    return absl::UnavailableError(absl::StrCat(
        "ready file ", path, " cannot be written: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace cairn
