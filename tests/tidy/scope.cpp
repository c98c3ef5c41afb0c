// A clang-tidy plugin that finds nothing itself: it lets the checks walk the project's declarations
// only. By default they walk all that a file includes, which takes several times as long and finds
// nothing that is ours to fix (clangd does as this does). What a precompiled header holds is then
// read only where used.
#include <clang-tidy/ClangTidyCheck.h>
#include <clang-tidy/ClangTidyModule.h>
#include <clang-tidy/ClangTidyModuleRegistry.h>

#include <vector>

namespace {

namespace tidy = clang::tidy;
using clang::ast_matchers::MatchFinder;

class ScopeCheck : public tidy::ClangTidyCheck {
 public:
  using ClangTidyCheck::ClangTidyCheck;

  void registerMatchers(MatchFinder* finder) override {
    // The first declaration of all that is matched; what it contains is looked up after that.
    finder->addMatcher(clang::ast_matchers::translationUnitDecl().bind("unit"), this);
  }

  void check(const MatchFinder::MatchResult& result) override {
    clang::ASTContext& context = *result.Context;
    const clang::SourceManager& sources = *result.SourceManager;
    std::vector<clang::Decl*> ours;
    for (clang::Decl* decl : context.getTranslationUnitDecl()->noload_decls()) {
      if (!decl->isFromASTFile() && !sources.isInSystemHeader(decl->getLocation())) {
        ours.push_back(decl);
      }
    }
    context.setTraversalScope(ours);
  }
};

class ScopeModule : public tidy::ClangTidyModule {
 public:
  void addCheckFactories(tidy::ClangTidyCheckFactories& factories) override {
    factories.registerCheck<ScopeCheck>("envicutor-scope");
  }
};

const tidy::ClangTidyModuleRegistry::Add<ScopeModule> kModule("envicutor-module",
                                                              "Scope of checks.");

}  // namespace
