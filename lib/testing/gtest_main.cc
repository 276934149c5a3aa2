// main() of every test: GoogleTest's, plus --seed, --rounds, --minutes and
// --trace for tests that draw numbers.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/seed.h"
#include "lib/testing/seed_run.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  cairn::ParseSeedFlag(&argc, argv);
  cairn::ParseSeedRunFlags(&argc, argv);
  return RUN_ALL_TESTS();
}
