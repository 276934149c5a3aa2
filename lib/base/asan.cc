// What LeakSanitizer is told of libraries that are not the project's. Part of
// every test and of every binary that links the project's mutex. Empty in other
// builds. See docs/decisions/0002-sanitizers.md.

#if defined(__has_feature)
#if __has_feature(address_sanitizer)

extern "C" {

const char* __lsan_default_suppressions();
const char* __lsan_default_suppressions() {
  // A process that ends while gRPC still looks a name up.
  return "leak:libcares.so\n";
}

}  // extern "C"

#endif
#endif
