// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <memory>
#include <utility>
#include <vector>

namespace dashi {

/// Objects that live as long as their owner, at most one of a type, made when first asked for:
/// handles and work memory of libraries, whose types the owner need not know. Not thread-safe.
class Attachments {
public:
  /// The T; made from the arguments when there is none yet.
  template <class T, class... Arguments>
  T& get(Arguments&&... arguments) {
    for (Attachment const& attachment : attachments_) {
      if (attachment.type == &tag<T>) {
        return *static_cast<T*>(attachment.object.get());
      }
    }
    attachments_.push_back({&tag<T>, std::make_shared<T>(std::forward<Arguments>(arguments)...)});
    return *static_cast<T*>(attachments_.back().object.get());
  }

private:
  // Not constant: the addresses of equal constants may be one.
  template <class T>
  static inline char tag = 0;

  struct Attachment {
    void const* type;
    std::shared_ptr<void> object;
  };
  std::vector<Attachment> attachments_;
};

}  // namespace dashi
