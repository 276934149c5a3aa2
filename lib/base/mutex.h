// Mutex, MutexLock, CondVar and Notification: absl's, made visible to TSan.
//
// Debian's Abseil is built without TSan, so TSan cannot see that an absl::Mutex
// orders what it guards and would report every guarded access as a race. These
// wrappers tell it. Without TSan they are absl's types at no cost. All code of
// this project uses them and never absl::Mutex itself.

#ifndef CAIRN_LIB_BASE_MUTEX_H_
#define CAIRN_LIB_BASE_MUTEX_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CAIRN_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) && !defined(CAIRN_TSAN)
#define CAIRN_TSAN 1
#endif

#ifdef CAIRN_TSAN
extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace cairn {

// Tells TSan that what happened before TsanRelease(p) on one thread is seen
// after TsanAcquire(p) on another. For hand-overs through a library that is
// built without TSan (gRPC); does nothing in other builds.
inline void TsanAcquire([[maybe_unused]] void* address) {
#ifdef CAIRN_TSAN
  __tsan_acquire(address);
#endif
}
inline void TsanRelease([[maybe_unused]] void* address) {
#ifdef CAIRN_TSAN
  __tsan_release(address);
#endif
}

class CondVar;

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    mu_.Lock();
    TsanAcquire(this);
  }
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    TsanRelease(this);
    mu_.Unlock();
  }
  bool TryLock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) {
    if (!mu_.TryLock()) return false;
    TsanAcquire(this);
    return true;
  }
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK() { mu_.AssertHeld(); }

 private:
  friend class CondVar;
  absl::Mutex mu_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) {
    mu_->Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mu_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mu_;
};

class CondVar {
 public:
  CondVar() = default;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;

  // May wake without a signal: call in a loop that checks the condition.
  void Wait(Mutex* mu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    TsanRelease(mu);
    cv_.Wait(&mu->mu_);
    TsanAcquire(mu);
  }

  // Returns true if it timed out.
  bool WaitWithTimeout(Mutex* mu, absl::Duration timeout)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    TsanRelease(mu);
    const bool timed_out = cv_.WaitWithTimeout(&mu->mu_, timeout);
    TsanAcquire(mu);
    return timed_out;
  }

  void Signal() { cv_.Signal(); }
  void SignalAll() { cv_.SignalAll(); }

 private:
  absl::CondVar cv_;
};

// Happens once; whoever waits is released.
class Notification {
 public:
  void Notify() {
    MutexLock lock(&mu_);
    notified_ = true;
    // Under the lock: the waiter may destroy this as soon as it can look.
    cv_.SignalAll();
  }
  bool HasBeenNotified() const {
    MutexLock lock(&mu_);
    return notified_;
  }
  void WaitForNotification() {
    MutexLock lock(&mu_);
    while (!notified_) cv_.Wait(&mu_);
  }
  // False if `timeout` passed first.
  bool WaitForNotificationWithTimeout(absl::Duration timeout) {
    const absl::Time deadline = absl::Now() + timeout;
    MutexLock lock(&mu_);
    while (!notified_) {
      const absl::Duration left = deadline - absl::Now();
      if (left <= absl::ZeroDuration()) return false;
      cv_.WaitWithTimeout(&mu_, left);
    }
    return true;
  }

 private:
  mutable Mutex mu_;
  CondVar cv_;
  bool notified_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace cairn

#endif  // CAIRN_LIB_BASE_MUTEX_H_
