// Elements of the page: found by id, each of a selector, and new ones.

export const $ = (id) => document.getElementById(id);
export const each = (selector, act) => document.querySelectorAll(selector).forEach(act);
export const made = (tag, values, ...children) => {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...children);
  return element;
};
