// Lists that are too large to hold as a whole: a page at a time. What a Client may offer beside
// Client::ListAll; the one over HTTP does.
#pragma once

#include <string>

#include "common/kube/client.h"

namespace envicutor::kube {

struct Page {
  List list;         // resource_version: of the whole list
  std::string next;  // for the next page; "": this was the last
};

class Pager {
 public:
  virtual ~Pager() = default;
  // `next` is "" for the first page. Expired: the list's snapshot is gone, begin anew.
  // options.page_size 0: all in one.
  [[nodiscard]] virtual Result<Page> ListPage(const ResourceType& type, const std::string& ns,
                                              const ListOptions& options,
                                              const std::string& next) = 0;
};

}  // namespace envicutor::kube
