// Calls of module_wire.h made on a PKCS #11 module. Linked into gatehouse-hsm alone.
#pragma once

#include "board/host/module_wire.h"

namespace gh::board {

class LoadedModule {
 public:
  // dlopen and C_GetFunctionList; null: it worked, else why not.
  const char* Load(const char* path);
  // `call` may be anything: sizes are checked; `answer` is filled but for kind and generation.
  void Serve(const WireCall& call, WireAnswer& answer);

 private:
  void* functions_ = nullptr;  // CK_FUNCTION_LIST
};

}  // namespace gh::board
