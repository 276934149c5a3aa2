// Any text as a configuration file and as an override: an error or a message
// that prints and reads back alike.

#include <cstdint>
#include <string>

#include "lib/base/check.h"
#include "lib/config/config.h"
#include "lib/config/test_config.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  cairn::config_test::TestConfig config;
  if (cairn::ParseConfigText(text, "fuzz", &config).ok()) {
    config.clear_cluster_secret();
    cairn::config_test::TestConfig again;
    CAIRN_CHECK(
        cairn::ParseConfigText(cairn::PrintConfig(config), "again", &again)
            .ok());
    // NaN is not equal to itself.
    if (config.share() == config.share()) {
      CAIRN_CHECK(config.SerializeAsString() == again.SerializeAsString());
    }
  }
  cairn::config_test::TestConfig changed;
  changed.add_disks();
  cairn::ApplyOverride(text, &changed).IgnoreError();
  return 0;
}
