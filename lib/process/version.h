// The version of everything that is built from this tree.

#ifndef CAIRN_LIB_PROCESS_VERSION_H_
#define CAIRN_LIB_PROCESS_VERSION_H_

namespace cairn {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace cairn

#endif  // CAIRN_LIB_PROCESS_VERSION_H_
