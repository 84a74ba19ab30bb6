// The playground of /why and /compare: a slider moves, and the list changes in its place. Without this script the same
// form is sent with its button.
"use strict";

const TRIES = 8;
const PAUSE = 1000;  // milliseconds
const form = document.querySelector("#recipe, #compare");
const result = document.getElementById("result");
const said = document.getElementById("said");  // for screen readers: what changed

if (form && result) {
  const controls = [...form.querySelectorAll("[data-usual]")];
  const isUsual = (input) =>
    input.type === "range" ? Number(input.value) === Number(input.dataset.usual) : input.value === input.dataset.usual;
  let pending = null;
  let timer = 0;

  // The address of the setting: only what differs from the usual recipe, so that a link stays short.
  const address = () => {
    const query = new URLSearchParams();
    for (const input of form.elements) {
      if (!input.name || (input.type === "checkbox" && !input.checked)) continue;
      if ("usual" in input.dataset && isUsual(input)) continue;
      if (input.value) query.set(input.name, input.value);
    }
    return form.getAttribute("action") + "?" + query;
  };

  const mark = (input) => {
    const slider = input.closest(".slider");
    if (input.type === "range") slider.querySelector("output").textContent = String(Number(input.value));
    slider.classList.toggle("set", !isUsual(input));
  };

  const show = async () => {
    if (pending) pending.abort();
    pending = new AbortController();
    const mine = pending;
    const target = address();
    result.classList.add("working");
    result.setAttribute("aria-busy", "true");
    try {
      // 503: the list of a former setting is still being made, or others have their turn.
      let answer = await fetch(target + "&part=result", { signal: mine.signal });
      for (let tries = 1; answer.status === 503 && tries < TRIES; tries += 1) {
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
        if (mine !== pending) return;
        answer = await fetch(target + "&part=result", { signal: mine.signal });
      }
      const text = await answer.text();
      if (mine !== pending) return;
      if (answer.ok) {
        result.innerHTML = text;
        history.replaceState(null, "", target);
        said.textContent = result.querySelector(".change")?.textContent ?? "The usual list.";
      } else {
        const note = document.createElement("p");
        note.className = "note";
        note.setAttribute("role", "status");
        const page = new DOMParser().parseFromString(text, "text/html");
        note.textContent = page.querySelector(".note")?.textContent ?? "This can't be worked out just now.";
        result.prepend(note);
      }
    } catch (error) {
      if (error.name === "AbortError") return;
    }
    if (mine === pending) {
      result.classList.remove("working");
      result.removeAttribute("aria-busy");
    }
  };

  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(show, 200);
  };

  form.querySelector(".apply")?.remove();  // the list changes by itself
  for (const input of controls) {
    mark(input);
    input.addEventListener("input", () => {
      mark(input);
      soon();
    });
  }
  form.querySelector("input[name=side]")?.addEventListener("change", soon);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.assign(address());
  });
  form.querySelector(".reset")?.addEventListener("click", (event) => {
    if (form.id !== "recipe") return;
    event.preventDefault();
    for (const input of controls) {
      input.value = input.dataset.usual;
      mark(input);
    }
    show();
  });
}
