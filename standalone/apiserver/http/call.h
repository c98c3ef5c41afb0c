// One request to a resource, taken apart: what the parts of ApiHandler that serve resources share.
#pragma once

#include "standalone/apiserver/http/handler.h"

namespace envicutor::standalone {

struct ApiHandler::Call {
  const http::ServerRequest& request;
  RequestInfo info;
  ResourcePtr resource;
  const User& user;
  const Writer& writer;
  OutputOptions output;
};

}  // namespace envicutor::standalone
