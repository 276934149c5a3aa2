// Shows ThreadSanitizer how Abseil and gRPC order things, although both are
// built without it. Part of every test and of every binary that links the
// project's mutex. Empty in other builds. See
// docs/decisions/0002-sanitizers.md.
//
// TSan does not see the atomic operations of which absl::Mutex and gRPC's
// queues are made. But the dynamic linker looks up what one shared library
// calls in another, and it looks here first (`--export-dynamic-symbol` in
// .bazelrc). Each function below is such a call: it does what the library's
// function does, by calling it, and tells TSan of the order that the library's
// contract promises.

#include "lib/base/mutex.h"

#ifdef CAIRN_TSAN

#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>

namespace {

// What the library itself defines under `name`.
template <typename Function>
Function* Real(const char* name) {
  void* const symbol = dlsym(RTLD_NEXT, name);
  if (symbol == nullptr) abort();
  return reinterpret_cast<Function*>(symbol);
}

}  // namespace

extern "C" {

const char* __tsan_default_options();
const char* __tsan_default_options() {
  // What those libraries do to their own memory is not judged; where they take
  // a pthread lock is still seen.
  return "ignore_noninstrumented_modules=1:second_deadlock_stack=1";
}

const char* __tsan_default_suppressions();
const char* __tsan_default_suppressions() {
  // The end of a server's call in gRPC, after OnDone(): it takes apart gRPC's
  // own members, and none of our code runs below it. Of the generic handler,
  // which answers unknown methods, all of the counting is inside of the
  // library.
  return "race:^grpc::internal::Callback*Handler<*>::ServerCallback*Impl::~\n";
}

// The names are mangled ones, since gRPC has no public header for its queues.
// A method's `this` is its first argument.

#define CAIRN_REAL(name, signature) \
  static auto* const real = Real<signature>(name)

// ---- absl::Mutex

void CairnAbslLock(void* mutex) asm("_ZN4absl7debian35Mutex4LockEv");
void CairnAbslLock(void* mutex) {
  CAIRN_REAL("_ZN4absl7debian35Mutex4LockEv", void(void*));
  real(mutex);
  __tsan_acquire(mutex);
}

void CairnAbslUnlock(void* mutex) asm("_ZN4absl7debian35Mutex6UnlockEv");
void CairnAbslUnlock(void* mutex) {
  CAIRN_REAL("_ZN4absl7debian35Mutex6UnlockEv", void(void*));
  __tsan_release(mutex);
  real(mutex);
}

bool CairnAbslTryLock(void* mutex) asm("_ZN4absl7debian35Mutex7TryLockEv");
bool CairnAbslTryLock(void* mutex) {
  CAIRN_REAL("_ZN4absl7debian35Mutex7TryLockEv", bool(void*));
  const bool locked = real(mutex);
  if (locked) __tsan_acquire(mutex);
  return locked;
}

// ---- absl::CondVar: gives the mutex back and takes it again.

void CairnAbslWait(void* condition, void* mutex) asm(
    "_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE");
void CairnAbslWait(void* condition, void* mutex) {
  CAIRN_REAL("_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE", void(void*, void*));
  __tsan_release(mutex);
  real(condition, mutex);
  __tsan_acquire(mutex);
}

// absl::Time and absl::Duration are two words that travel in registers.
struct CairnAbslTime {
  int64_t seconds;
  uint32_t ticks;
};

bool CairnAbslWaitUntil(void* condition, void* mutex, CairnAbslTime time) asm(
    "_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
bool CairnAbslWaitUntil(void* condition, void* mutex, CairnAbslTime time) {
  CAIRN_REAL(
      "_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE",
      bool(void*, void*, CairnAbslTime));
  __tsan_release(mutex);
  const bool late = real(condition, mutex, time);
  __tsan_acquire(mutex);
  return late;
}

bool CairnAbslWaitFor(void* condition, void* mutex, CairnAbslTime time) asm(
    "_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
bool CairnAbslWaitFor(void* condition, void* mutex, CairnAbslTime time) {
  CAIRN_REAL(
      "_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE",
      bool(void*, void*, CairnAbslTime));
  __tsan_release(mutex);
  const bool late = real(condition, mutex, time);
  __tsan_acquire(mutex);
  return late;
}

// ---- gRPC's queue: who pops sees what happened before the push.

bool CairnQueuePush(void* queue, void* node) asm(
    "_ZN9grpc_core32MultiProducerSingleConsumerQueue4PushEPNS0_4NodeE");
bool CairnQueuePush(void* queue, void* node) {
  CAIRN_REAL("_ZN9grpc_core32MultiProducerSingleConsumerQueue4PushEPNS0_4NodeE",
             bool(void*, void*));
  __tsan_release(queue);
  return real(queue, node);
}

void* CairnQueuePop(void* queue) asm(
    "_ZN9grpc_core32MultiProducerSingleConsumerQueue3PopEv");
void* CairnQueuePop(void* queue) {
  CAIRN_REAL("_ZN9grpc_core32MultiProducerSingleConsumerQueue3PopEv",
             void*(void*));
  void* const node = real(queue);
  __tsan_acquire(queue);
  return node;
}

void* CairnQueuePopAndCheck(void* queue, bool* empty) asm(
    "_ZN9grpc_core32MultiProducerSingleConsumerQueue14PopAndCheckEndEPb");
void* CairnQueuePopAndCheck(void* queue, bool* empty) {
  CAIRN_REAL(
      "_ZN9grpc_core32MultiProducerSingleConsumerQueue14PopAndCheckEndEPb",
      void*(void*, bool*));
  void* const node = real(queue, empty);
  __tsan_acquire(queue);
  return node;
}

// ---- gRPC's call combiner: closures of one call run one after the other. What
// begins the next sees what happened before the last one stopped. A status that
// is passed by value is a hidden reference.

void CairnCombinerStart(void* combiner, void* closure, void* status, const char* file, int line, const char* reason) asm(
    "_ZN9grpc_core12CallCombiner5StartEP12grpc_closureN4absl7debian36StatusE"
    "PKciS7_");
void CairnCombinerStart(void* combiner, void* closure, void* status,
                        const char* file, int line, const char* reason) {
  CAIRN_REAL(
      "_ZN9grpc_core12CallCombiner5StartEP12grpc_closureN4absl7debian36StatusE"
      "PKciS7_",
      void(void*, void*, void*, const char*, int, const char*));
  __tsan_release(combiner);
  __tsan_acquire(combiner);
  real(combiner, closure, status, file, line, reason);
}

void CairnCombinerStop(
    void* combiner, const char* file, int line,
    const char* reason) asm("_ZN9grpc_core12CallCombiner4StopEPKciS2_");
void CairnCombinerStop(void* combiner, const char* file, int line,
                       const char* reason) {
  CAIRN_REAL("_ZN9grpc_core12CallCombiner4StopEPKciS2_",
             void(void*, const char*, int, const char*));
  __tsan_release(combiner);
  real(combiner, file, line, reason);
}

// ---- gRPC's count of the reactions of a call that are under way. Most are
// counted down by code in gRPC's headers, which TSan sees, and some, such as
// the one to a cancellation, inside of the library. Whoever counts to zero
// calls this; so it follows all that TSan saw. The counts are 8 and 12 bytes
// into the object, after the pointer to the virtual table.

void CairnScheduleOnDone(char* call, bool here) asm(
    "_ZN4grpc8internal18ServerCallbackCall14ScheduleOnDoneEb");
void CairnScheduleOnDone(char* call, bool here) {
  CAIRN_REAL("_ZN4grpc8internal18ServerCallbackCall14ScheduleOnDoneEb",
             void(char*, bool));
  __tsan_acquire(call + 8);
  __tsan_acquire(call + 12);
  real(call, here);
}

}  // extern "C"

#endif  // CAIRN_TSAN
