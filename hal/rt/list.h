// Intrusive doubly linked list. An object may be in as many lists as it has ListNode members; it is
// in a list at most once per member. O(1) insert and remove, no allocation. The list does not own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hal/rt/assert.h"

namespace gh {

struct ListNode {
  ListNode* previous = nullptr;
  ListNode* next = nullptr;
  bool linked() const { return next != nullptr; }
};

// List<Binding, &Binding::aor_node>
template <typename T, ListNode T::*Node>
class List {
 public:
  List() { head_.previous = head_.next = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;

  bool empty() const { return head_.next == &head_; }
  uint32_t size() const { return size_; }
  T* front() { return empty() ? nullptr : Owner(head_.next); }
  T* back() { return empty() ? nullptr : Owner(head_.previous); }
  const T* front() const { return const_cast<List*>(this)->front(); }

  void PushFront(T& object) { InsertAfter(head_, object); }
  void PushBack(T& object) { InsertAfter(*head_.previous, object); }
  T* PopFront() {
    T* object = front();
    if (object != nullptr) {
      Remove(*object);
    }
    return object;
  }
  void Remove(T& object) {
    ListNode& node = object.*Node;
    GH_ASSERT(node.linked());
    GH_ASSERT_GT(size_, 0u);
    node.previous->next = node.next;
    node.next->previous = node.previous;
    node.previous = node.next = nullptr;
    --size_;
  }
  static bool IsLinked(const T& object) { return (object.*Node).linked(); }
  // The object after `object`, or null at the end.
  T* Next(T& object) {
    ListNode* next = (object.*Node).next;
    return next == &head_ ? nullptr : Owner(next);
  }

  // Iteration; removing the current object inside the loop is allowed.
  class Iterator {
   public:
    Iterator(ListNode* node) : node_(node), next_(node->next) {}
    T& operator*() const { return *Owner(node_); }
    Iterator& operator++() {
      node_ = next_;
      next_ = node_->next;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return node_ != other.node_; }

   private:
    ListNode* node_;
    ListNode* next_;
  };
  Iterator begin() { return Iterator(head_.next); }
  Iterator end() { return Iterator(&head_); }

 private:
  static T* Owner(ListNode* node) {
    alignas(T) static constexpr unsigned char probe[sizeof(T)] = {};
    const T* object = reinterpret_cast<const T*>(probe);
    const auto offset = reinterpret_cast<const unsigned char*>(&(object->*Node)) - probe;
    return reinterpret_cast<T*>(reinterpret_cast<unsigned char*>(node) - offset);
  }
  void InsertAfter(ListNode& place, T& object) {
    ListNode& node = object.*Node;
    GH_ASSERT(!node.linked());
    node.previous = &place;
    node.next = place.next;
    place.next->previous = &node;
    place.next = &node;
    ++size_;
  }

  ListNode head_;
  uint32_t size_ = 0;
};

}  // namespace gh
