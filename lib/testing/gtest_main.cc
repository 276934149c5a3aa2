// main() of every test: GoogleTest's, plus --seed for tests that draw numbers.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/seed.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  cairn::ParseSeedFlag(&argc, argv);
  return RUN_ALL_TESTS();
}
