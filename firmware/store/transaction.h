// A change of the store: all of it, or none.
#pragma once

#include "firmware/store/store.h"

namespace gh::store {

// `change`: a function that gives a Result<void>; its error rolls everything back.
template <typename Change>
Result<void> InTransaction(Store& store, Change change) {
  GH_TRY(store.Begin());
  if (Result<void> changed = change(); !changed.ok()) {
    store.Rollback();
    return changed;
  }
  return store.Commit();
}

// The same, with a commit that is not waited for.
template <typename Change>
Result<LateCommit> InLateTransaction(Store& store, Change change) {
  GH_TRY(store.BeginLater());
  if (Result<void> changed = change(); !changed.ok()) {
    store.Rollback();
    return changed.error();
  }
  return store.CommitLater();
}

}  // namespace gh::store
