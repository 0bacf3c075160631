// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/linalg/element.hpp>
#include <dashi/linalg/factor_call.hpp>
#include <dashi/linalg/gemm_call.hpp>

#include <span>

namespace dashi::linalg {

/// Dense linear algebra of a provider on an execution space. Vendor code in backends/<name>/
/// specialises it with the functions that the concepts below ask for; what a specialisation lacks
/// is found when a front door is called.
template <class Exec, class Provider>
struct Backend {};

/// gemm(ctx, call): the products of a GemmCall<In, Out>, asynchronous.
template <class Exec, class Provider, class In, class Out = In>
concept HasGemm = requires(Context<Exec, Provider>& ctx, GemmCall<In, Out> const& call) {
  Backend<Exec, Provider>::gemm(ctx, call);
};

/// svd(ctx, calls): all decompositions; fences; throws ConvergenceError.
template <class Exec, class Provider, class T>
concept HasSvd = requires(Context<Exec, Provider>& ctx, std::span<SvdCall<T> const> calls) {
  Backend<Exec, Provider>::svd(ctx, calls);
};

/// qr(ctx, call): one decomposition; fences.
template <class Exec, class Provider, class T>
concept HasQr = requires(Context<Exec, Provider>& ctx, QrCall<T> const& call) {
  Backend<Exec, Provider>::qr(ctx, call);
};

}  // namespace dashi::linalg
