// Fresh request ids, cheaply.

#ifndef CAIRN_CLIENTS_CPP_REQUEST_IDS_H_
#define CAIRN_CLIENTS_CPP_REQUEST_IDS_H_

#include "lib/base/uuid.h"

namespace cairn {
namespace client {

// A UUID of version 7 (RFC 9562): the time in milliseconds, then 74 random
// bits. Asks the system for many random bytes at a time, for calls that are
// made some hundred thousand times a second. The time helps the storages'
// indexes; nothing depends on it.
Uuid NewRequestId();

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_REQUEST_IDS_H_
