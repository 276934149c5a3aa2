// Fresh request ids, cheaply.

#ifndef CAIRN_CLIENTS_CPP_REQUEST_IDS_H_
#define CAIRN_CLIENTS_CPP_REQUEST_IDS_H_

#include "lib/base/uuid.h"

namespace cairn {
namespace client {

// As Uuid::Random(), but asks the system for many at a time: for calls that are
// made some hundred thousand times a second.
Uuid NewRequestId();

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_REQUEST_IDS_H_
